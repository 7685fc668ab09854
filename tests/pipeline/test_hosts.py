"""The host of a URL, in the one form that all its spellings have."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.hosts import ascii_host


@pytest.mark.parametrize(
    ("host", "form"),
    [
        ("Example.ORG", "example.org"),
        ("example.org.", "example.org"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("b%C3%BCcher.example", "xn--bcher-kva.example"),
        ("under_score.example", "under_score.example"),
        ("intranet", "intranet"),
        ("127.0.0.1", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("0177.0.0.01", "127.0.0.1"),
        ("::1", "[::1]"),
        ("0:0::1", "[::1]"),
    ],
)
def test_spellings_of_a_host_have_one_form(host: str, form: str):
    assert ascii_host(host) == form


@pytest.mark.parametrize(
    "host",
    ["", ".", "a..b", "a b.org", "a" * 64 + ".org", "a." * 130 + "org", "256.1.1.1", "1.2.3.4.5", "08.1", "gg::", "fe80::1%eth0"],
)
def test_what_cannot_be_a_host_has_none(host: str):
    assert ascii_host(host) is None


@given(st.text(max_size=40))
def test_a_form_is_ascii_and_its_own_form(host: str):
    form = ascii_host(host)
    if form is not None:
        assert form.isascii()
        assert ascii_host(form.strip("[]")) == form
