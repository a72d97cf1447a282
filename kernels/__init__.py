"""Kernels for Kaggle: built, checked and rehearsed here, then pushed; there they run without internet.

The only code that knows Kaggle. What runs there is session.py and inputs.py, packed with dfd into one script; the
rest stays here.
"""

from dfd.errors import DfdError


class KernelError(DfdError):
    """A kernel that cannot be built, sent, followed or run, in one line."""
