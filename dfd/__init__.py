"""dfd: a deepfake detection kit for the Deepfake Detection Challenge, from videos to a scored submission.csv.

From Python: `dfd.load()` loads the detector, `.score("x.mp4")` and `.score_many(paths)` score videos.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dfd.api import Detector, Result, load

__version__ = "0.1.0"
__all__ = ["Detector", "Result", "__version__", "load"]


def __getattr__(name: str) -> Any:
    """Import names that need torch on first use, so that importing dfd itself is fast."""
    if name in ("Detector", "Result", "load"):
        from dfd import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
