"""Kernels for Kaggle: built, checked and rehearsed here, then pushed; there they run without internet.

The only code that knows Kaggle. session.py and inputs.py run there, packed with dfd into one script.
"""

from dfd.errors import DfdError


class KernelError(DfdError):
    """A kernel cannot be built, pushed, followed or run; the message is one line."""
