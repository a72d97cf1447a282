"""Pages: one HTML file each that opens from a disk or a mail, without a network.

A template says what stands where, plots.py draws from numbers, pictures.py holds pictures. Every page extends
templates/base.html. Whatever a value says is escaped: a video called <script>.mp4 shows as that.
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
"""Bytes of a page: what a mail takes, and a phone shows at once."""


@cache
def _environment() -> Environment:
    """Templates may call the functions of plots.py and data_uri by name; an unknown name is an error."""
    found = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    drawing = {name: getattr(plots, name) for name in plots.__all__}
    found.globals.update(drawing, data_uri=data_uri)
    return found


def render(template: str, **values: Any) -> str:
    """The page that `template`, a file of templates/, makes of `values`."""
    return _environment().get_template(template).render(values)


def write_page(out: Path, html: str) -> int:
    """Write a page to `out`, whole or not at all; returns its bytes.

    Raises ConfigError when `out` has no ending of a page, or cannot be written.
    """
    check_name(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_text(out, html)
    except OSError as error:
        raise ConfigError(f"{out} cannot be written: {error.strerror}") from None
    return len(html.encode())


def check_name(out: Path) -> None:
    """Raise ConfigError when `out` has no ending of a page."""
    if out.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"{out} has no ending of a page: name it .html")


def framed(html: str, height: int = 720) -> str:
    """A page inside another, as in a notebook's output: a frame of so many pixels, which shares no style with it.

    >>> framed("<p>a & b</p>", 90)
    '<iframe srcdoc="&lt;p&gt;a &amp; b&lt;/p&gt;" title="page" style="width:100%;height:90px;border:0"></iframe>'
    """
    return f'<iframe srcdoc="{escape(html)}" title="page" style="width:100%;height:{height}px;border:0"></iframe>'
