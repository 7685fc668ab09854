"""Filters by name: ours, those of installed packages, and the options each takes."""

import dataclasses
import re
import sys

import pytest

from filters.clip_score import ClipScore, TopFraction
from filters.contract import Filter, Sampler, Selector
from filters.no_filter import NoFilter
from filters.registry import Context, build, find, names
from schemas.errors import UsageError, UserError

CONTEXT = Context(columns=("uid", "text", "clip_b32_similarity_score"))


def made(name: str, **values: object) -> Filter | Selector | Sampler:
    return build(name, values, CONTEXT)


def test_the_first_four_filters_are_known_and_summarised():
    assert {"no_filter", "basic_filter", "clip_score", "random_subset"} <= set(names())
    for entry in map(find, names()):
        assert entry.summary
        assert entry.source
        assert all(field.metadata["doc"] for field in dataclasses.fields(entry.parameters)), entry.name


def test_a_misspelt_filter_names_the_near_one_and_all():
    with pytest.raises(UsageError, match=r"filter clipscore: no such filter; did you mean clip_score\? known: basic_filter, "):
        made("clipscore")


def test_clip_score_is_built_from_a_threshold_or_a_fraction():
    assert made("clip_score", arch="b32", threshold=0.0) == ClipScore("clip_b32_similarity_score", 0.0)
    assert made("clip_score", arch="b32", fraction=0.3) == TopFraction("clip_b32_similarity_score", 0.3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "clip_score", "threshold": 0.3}, "give --arch"),
        ({"name": "clip_score", "arch": "b32"}, "either --threshold or --fraction"),
        ({"name": "clip_score", "arch": "b32", "threshold": 0.3, "fraction": 0.3}, "either --threshold or --fraction"),
        ({"name": "clip_score", "arch": "b32", "fraction": 30.0}, "--fraction 30.0: must be from 0 to 1"),
        ({"name": "clip_score", "arch": "b32", "fraction": float("nan")}, "clip_score: fraction = nan must be a finite number"),
        ({"name": "no_filter", "arch": "b32"}, "--arch: no_filter does not take it (it belongs to clip_score"),
        ({"name": "basic_filter", "fraction": 0.3}, "--fraction: basic_filter does not take it"),
        ({"name": "random_subset"}, "either --fraction or --like"),
        ({"name": "random_subset", "fraction": 0.3, "rows": 3}, "either --fraction or --like"),
        ({"name": "no_filter", "rows": 3}, "--rows: no_filter does not take it"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: dict, message: str):
    with pytest.raises(UsageError, match=re.escape(message)):
        made(**options)


def test_a_score_that_the_metadata_lacks_is_told_with_those_it_has():
    with pytest.raises(UserError, match="no column clip_l14_similarity_score; it has: b32"):
        made("clip_score", arch="l14", threshold=0.3)


def test_basic_filter_needs_a_language_from_somewhere():
    with pytest.raises(UserError, match="no column `lang`; give --lid-model"):
        made("basic_filter")


def test_an_installed_package_adds_a_filter_by_entry_point(tmp_path, monkeypatch):
    (tmp_path / "their_filters.py").write_text(
        "from filters.no_filter import NoFilter\n"
        "from filters.registry import Entry, NoParameters\n"
        "ENTRY = Entry(name='theirs', summary='all', source='s', parameters=NoParameters, build=lambda _, __: NoFilter())\n"
        "WRONG = 3\n"
    )
    info = tmp_path / "their_filters-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-filters\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[webpairs.filters]\ntheirs = their_filters:ENTRY\nwrong = their_filters:WRONG\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "their_filters", raising=False)
    assert "theirs" in names()
    assert made("theirs") == NoFilter()
    with pytest.raises(UsageError, match="wrong: its entry point"):
        made("wrong")
