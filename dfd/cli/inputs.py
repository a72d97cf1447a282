"""What several commands take, with its help."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from dfd.videos.layouts import told_by

Videos = Annotated[
    Path,
    Parameter(
        help="One video or picture, or a folder, in a layout that is told by the names in it. A label is FAKE or REAL "
        "in any case, or 1 (fake) or 0; a metadata.json also names a video's original, and the person in it.\n\n"
        f"{told_by()}"
    ),
]
Unlisted = Annotated[
    bool,
    Parameter(negative=(), help="Take what a file of labels, a sample or the layout leaves out too, without a label."),
]
