"""HTML pages: single files that open from a disk or a mail, without a network.

Templates lay out the page, plots.py draws plots, pictures.py embeds images. Every page extends templates/base.html.
All values are escaped: a video called <script>.mp4 is displayed under that name.
"""

from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from dfd.errors import ConfigError
from dfd.files import write_text
from dfd.report import plots
from dfd.report.pictures import data_uri

TEMPLATES = Path(__file__).parent / "templates"
MOST = 3_000_000
"""Maximum size of a page in bytes: it can be mailed, and opens at once on a phone."""


@cache
def environment() -> Environment:
    """Templates may call the functions of plots.py and data_uri by name. An unknown name is an error."""
    found = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    drawing = {name: getattr(plots, name) for name in plots.__all__}
    found.globals.update(drawing, data_uri=data_uri)
    return found


def render(template: str, **values: Any) -> str:
    """Render `template`, a file of templates/, with `values`."""
    return environment().get_template(template).render(values)


def write_page(out: Path, html: str) -> int:
    """Write a page to `out`, atomically. Returns its size in bytes.

    Raises ConfigError when `out` does not have an HTML suffix, or cannot be written.
    """
    check_name(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_text(out, html)
    except OSError as error:
        raise ConfigError(f"{out} cannot be written: {error.strerror}") from None
    return len(html.encode())


def check_name(out: Path) -> None:
    """Raise ConfigError when `out` does not have an HTML suffix."""
    if out.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"{out} has no ending of a page: name it .html")


def framed(html: str, height: int = 720) -> str:
    """Embed a page in another, such as a notebook's output: an iframe `height` pixels high with styles of its own.

    >>> framed("<p>a & b</p>", 90)
    '<iframe srcdoc="&lt;p&gt;a &amp; b&lt;/p&gt;" title="page" style="width:100%;height:90px;border:0"></iframe>'
    """
    return f'<iframe srcdoc="{escape(html)}" title="page" style="width:100%;height:{height}px;border:0"></iframe>'
