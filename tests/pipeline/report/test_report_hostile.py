"""Captions and addresses from the web are shown, never obeyed."""

import hashlib
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.report import ReportConfig, run
from pipeline.report.text import visible

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "{{ 7 * 7 }} {% raw %}",
    "</style></title></svg><b>loose</b>",
    "a\x00b\x1b[31mred\x7f",
    "abc\u202egnp.exe\u2066x",
    "]]><!-- $\\frac{1}{0}$ -->",
]


class Tags(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.handlers: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


@pytest.fixture
def hostile_html(build_root, make_pairs, tmp_path):
    rows = make_pairs(len(HOSTILE))
    for row, text in zip(rows, HOSTILE, strict=True):
        row.update(text=text, url=f"javascript:alert('{text}')")
        row["uid"] = hashlib.md5((row["text"] + row["url"]).encode(), usedforsecurity=False).hexdigest()
    root = build_root(rows)
    (root / "5_subsets" / "clip_score.npy").rename(root / "5_subsets" / "<img onerror=x>$a_b$.npy")
    run(ReportConfig(root=str(root), out=str(tmp_path / "r.html"), pairs=len(HOSTILE)))
    return (tmp_path / "r.html").read_text("utf-8")


def test_no_caption_becomes_markup(hostile_html):
    tags = Tags(hostile_html)
    assert not tags.handlers
    assert "script" not in tags.seen
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in hostile_html
    assert "{{ 7 * 7 }}" in hostile_html


def test_no_address_becomes_a_link(hostile_html):
    assert "javascript:alert(" in hostile_html
    assert 'href="javascript' not in hostile_html


def test_characters_that_hide_or_reorder_text_are_shown_as_codes(hostile_html):
    assert "a⟨U+0000⟩b⟨U+001B⟩[31mred⟨U+007F⟩" in hostile_html
    assert "abc⟨U+202E⟩gnp.exe⟨U+2066⟩x" in hostile_html


@given(st.text(st.characters(codec=None), max_size=50))
def test_visible_text_holds_no_control_character_and_can_be_written(text):
    shown = visible(text)
    assert not any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 or ord(c) in range(0x202A, 0x202F) for c in shown)
    shown.encode("utf-8")


@given(st.text(st.characters(categories=["L", "N", "P", "Zs"]), max_size=300))
def test_ordinary_text_is_shown_as_it_is(text):
    assert visible(text) == text
