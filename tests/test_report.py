"""The report is one page that needs nothing but itself, whatever text it is given."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from isthmus.report import Report, said

VOID = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """Collects tags and text, and sees to it that every tag is closed."""

    def __init__(self, html: str):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def of(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def test_a_page_has_a_title_a_language_and_its_blocks_in_order():
    html = (
        Report("Fits", "Of digits").heading("One").text("first").heading("Two", 3).text("second").footer("end").html()
    )
    page = Page(html)
    assert page.of("html") == [{"lang": "en"}]
    places = [html.index(text) for text in ("<title>Fits</title>", "Of digits", "One", "first", "Two", "second", "end")]
    assert places == sorted(places)


@given(st.text(max_size=60))
def test_any_text_comes_out_as_it_went_in(text):
    page = Page(Report(text, text).heading(text).text(text).table([{text: text}], caption=text).footer(text).html())
    assert {tag for tag, _ in page.tags} <= {
        *("html", "head", "meta", "title", "link", "style", "body", "main", "h1", "h2", "p", "div", "table"),
        *("caption", "thead", "tbody", "tr", "th", "td", "footer"),
    }
    # A parser reads any line end as one newline, and NUL as nothing.
    clean = text.replace("\r\n", "\n").replace("\r", "\n")
    assert "\0" in text or "\r" in text or clean in page.text


def test_pictures_are_inlined_with_words_for_those_who_cannot_see_them():
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([1, 2])
    page = Page(Report("t").figure(figure, 'a "line"', "rising").html())
    (image,) = page.of("img")
    assert image["src"].startswith("data:image/png;base64,")
    assert image["alt"] == 'a "line"'
    assert (image["width"], image["height"]) == ("192", "96")
    assert "rising" in page.text
    with pytest.raises(ValueError, match="needs an alt text"):
        Report("t").figure(figure, " ")


def test_nothing_is_asked_for_from_outside_and_no_script_runs():
    page = Page(Report("t").text("see https://example.org").html())
    assert not page.of("script")
    assert all(attributes["href"].startswith("data:") for attributes in page.of("link"))
    policy = next(a["content"] for a in page.of("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")


def test_numbers_stand_to_the_right_and_our_row_is_set_off():
    rows = [{"method": "ours", "error": 1.5, "found": "yes"}, {"method": "PCA", "error": 2.0}]
    page = Page(
        Report("t").table(rows, {"method": "method", "error": "squared error", "found": "found"}, ours="ours").html()
    )
    assert [a.get("class") for a in page.of("th")] == [None, "number", None]
    assert [a.get("class") for a in page.of("td")] == [None, "number", None] * 2
    assert [a.get("class") for a in page.of("tr")] == [None, "ours", None]
    assert "squared error" in page.text


def test_a_blank_does_not_push_a_column_of_numbers_to_the_left():
    page = Page(Report("t").table([{"a": 1.0, "b": None}, {"a": None, "b": "x"}, {"b": True}]).html())
    assert [a.get("class") for a in page.of("th")] == ["number", None]
    assert not Page(Report("t").table([]).html()).of("td")


def test_a_page_with_a_picture_names_no_address():
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([1, 2])
    html = Report("t", "l").heading("h").figure(figure, "a line").table([{"a": 1}]).html()
    assert "http:" not in html
    assert "https:" not in html
    assert "url(" not in html
    assert "@import" not in html


def test_columns_are_by_default_all_that_occur():
    page = Page(Report("t").table([{"a_b": 1}, {"c": 2}]).html())
    assert "a b" in page.text
    assert len(page.of("th")) == 2


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.98765, "0.988"),
        (12.345, "12.35"),
        (123.45, "123.5"),
        (1234567.8, "1,234,568"),
        (3, "3"),
        (3.0, "3"),
        (0.00012345, "0.00012"),
        (0.0, "0"),
        (-5.5, "-5.500"),
        (True, "yes"),
        (False, "no"),
        (np.bool_(True), "yes"),
        (np.float32(0.5), "0.500"),
        (np.int64(1200), "1,200"),
        (None, ""),
        ("0.1", "0.1"),
        (float("nan"), "–"),
        (float("inf"), "inf"),
    ],
)
def test_numbers_are_said_with_the_digits_that_count(value, text):
    assert said(value) == text


def test_a_page_is_written_whole(tmp_path):
    path = Report("t").write(tmp_path / "new" / "page.html")
    assert path.read_text(encoding="utf-8").endswith("</html>\n")
    assert [file.name for file in path.parent.iterdir()] == ["page.html"]


def test_headings_have_two_levels():
    with pytest.raises(ValueError, match="level 2 or 3, got 1"):
        Report("t").heading("x", 1)
