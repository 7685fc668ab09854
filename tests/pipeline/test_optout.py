"""What a web server or a page says against the use of images: read and judged in one way, for pages and for images."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.optout import directives_in, is_refused, refusals


@pytest.mark.parametrize(
    ("value", "directives"),
    [
        ("noai, NoImageAI", {"noai", "noimageai"}),
        ("noindex;nofollow", {"noindex", "nofollow"}),
        ("index follow", {"index", "follow"}),
        (" ,, ", set()),
        ("max-image-preview: large, max-snippet:-1", {"max-image-preview:large", "max-snippet:-1"}),
        ("unavailable_after: 2025-11-06T10:14:16+01:00", {"unavailable_after:2025-11-06t10:14:16+01:00"}),
        ("none", {"none", "noindex", "nofollow"}),
        ("googlebot: noindex, nofollow", {"googlebot:noindex", "googlebot:nofollow"}),
        ("badbot: noindex, googlebot: noai", {"badbot:noindex", "googlebot:noai"}),
        ("*: noai", {"noai"}),
        ("googlebot: max-snippet: 5", {"googlebot:max-snippet:5"}),
    ],
)
def test_directives_are_read_from_a_value(value, directives):
    assert set(directives_in(value)) == directives


@pytest.mark.parametrize(
    ("values", "refused"),
    [
        (["noai"], True),
        (["none"], True),
        (["nofollow, NoImageAI"], True),
        (["noarchive; noindex"], True),
        (["nofollow", "noindex"], True),
        (["*: noai"], True),
        (["webpairs: noai"], True),
        (["img2dataset: noai"], True),
        (["CCBot: none"], True),
        (["mybot: noai"], True),
        (["otherbot: noai, noindex"], False),
        (["otherbot: nofollow, mybot: noindex"], True),
        (["otherbot: noai", "noai"], True),
        (["noai, otherbot: nofollow"], True),
        (["unavailable_after: 25 Jun 2010 15:00:00 PST, noai"], True),
        (["all", "noarchive", "max-image-preview: none", ""], False),
        ([], False),
    ],
)
def test_a_refusal_is_spoken_to_everyone_or_to_a_collector_or_to_the_agent_by_name(values, refused):
    assert is_refused(values, "mybot") is refused


def test_an_agent_without_a_name_is_told_only_what_all_collectors_are_told():
    assert refusals("") == refusals()
    assert not is_refused(["mybot: noai"], "")


@given(st.lists(st.text()), st.text())
def test_any_header_is_judged_as_pool_judges_the_same_words_on_a_page(values, agent):
    said = {directive for value in values for directive in directives_in(value)}
    assert is_refused(values, agent) == bool(said & refusals(agent))
