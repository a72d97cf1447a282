from html.parser import HTMLParser

import pytest
from jinja2 import UndefinedError

from dfd.errors import ConfigError
from dfd.report.page import TEMPLATES, environment, framed, render, write_page


class Seen(HTMLParser):
    """Parse a page into tags with attributes, and text, as a browser does."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)


def page(body, **values):
    template = (
        '{% extends "base.html" %}{% block title %}{{ name }}{% endblock %}{% block main %}' + body + "{% endblock %}"
    )
    return environment().from_string(template).render(version="0", **values)


def test_a_file_name_stays_text():
    name = '<script>alert(1)</script>" onload="x.mp4'
    seen = Seen(page('<h1>{{ name }}</h1><p title="{{ name }}">{{ name }}</p>', name=name))
    assert seen.texts.count(name) == 3  # the title, the heading and the paragraph
    assert [tag for tag, _ in seen.tags].count("script") == 1
    assert {"title": name} in [attributes for _, attributes in seen.tags]


def test_a_page_loads_nothing_external_and_is_keyboard_accessible():
    html = page("<h1>A</h1>", name="a")
    seen = Seen(html)
    assert "http" not in html.replace("http-equiv", "")
    assert not [tag for tag, attributes in seen.tags if "src" in attributes]
    assert ("a", {"class": "skip", "href": "#main"}) in seen.tags
    assert ("html", {"lang": "en"}) in seen.tags
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html
    assert ":focus-visible" in html
    assert len((TEMPLATES / "hover.js").read_bytes()) < 4000


def test_a_missing_template_name_is_an_error():
    with pytest.raises(UndefinedError):
        page("{{ gone }}", name="a")


def test_a_page_is_written_whole_and_only_as_html(tmp_path):
    assert write_page(tmp_path / "new" / "a.html", "<p>é</p>") == 9
    assert (tmp_path / "new" / "a.html").read_text(encoding="utf-8") == "<p>é</p>"
    with pytest.raises(ConfigError, match=r"a\.pdf has no ending of a page: name it \.html"):
        write_page(tmp_path / "a.pdf", "")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        write_page(tmp_path / "file" / "a.html", "")


def test_an_embedded_page_is_the_same_page():
    html = page("<p>'a' & \"b\"</p>", name="a")
    ((tag, attributes),) = Seen(framed(html)).tags
    assert (tag, attributes["srcdoc"]) == ("iframe", html)
    assert render("base.html", version="1").count("dfd 1") == 1
