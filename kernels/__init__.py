"""Kernels for Kaggle: built, checked and rehearsed on this machine, then pushed. On Kaggle they run without internet.

Only this package depends on Kaggle. session.py and inputs.py run there, packed with dfd into one script.
"""

from dfd.errors import DfdError


class KernelError(DfdError):
    """A kernel cannot be built, pushed, followed or run; the message is one line."""
