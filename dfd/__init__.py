"""dfd: a deepfake detection kit for the Deepfake Detection Challenge, from videos to a scored submission.csv.

From Python: `dfd.load()` gives the detector, `.score("x.mp4")` and `.score_many(paths)` say what it makes of videos.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dfd.api import Detector, Result, load

__version__ = "0.1.0"
__all__ = ["Detector", "Result", "__version__", "load"]


def __getattr__(name: str) -> Any:
    """The names that need torch, imported when they are asked for: importing dfd itself takes no time."""
    if name in ("Detector", "Result", "load"):
        from dfd import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
