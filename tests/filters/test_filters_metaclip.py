"""metaclip against a plain version of MetaCLIP's matching and sampling, and lists and texts that are odd."""

import json
import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.compose import resolve
from filters.metaclip import Matcher, MetaClip, count_at_tail, load_matcher, read_entries, spaced
from filters.registry import Context, build
from schemas.errors import UsageError, UserError

CONTEXT = Context(columns=("uid", "text"))


def entries_file(tmp_path, entries, name: str = "entries.txt") -> str:
    path = tmp_path / name
    path.write_text("\n".join(entries), encoding="utf-8")
    return str(path)


def pool_of(texts, rows: int = 7):
    rng = random.Random(5)
    whole = pa.record_batch({"uid": [f"{rng.getrandbits(128):032x}" for _ in texts], "text": pa.array(texts, pa.string())})
    return [whole.slice(start, rows) for start in range(0, len(texts), rows)]


def matched(matcher: Matcher, texts) -> set[tuple[int, int]]:
    found = [(rows, entries) for rows, entries in matcher.matches(pa.array(texts, pa.string()))]
    return {pair for rows, entries in found for pair in zip(rows.tolist(), entries.tolist(), strict=True)}


def plainly_spaced(text: str) -> str:
    for mark in ",.;:?!`":
        text = text.replace(mark, f" {mark} ")
    return f" {text} ".replace("\t", " ").replace("\n", " ").replace("\r", " ")


def plainly_matched(entries, texts) -> set[tuple[int, int]]:
    return {
        (row, number)
        for row, text in enumerate(texts)
        for number, entry in enumerate(entries)
        if f" {entry} " in plainly_spaced(text or "")
    }


WORDS = st.lists(st.sampled_from(["red", "car", "red car", "Red", "شسي", "a", "a a", "\x00", "日本"]), max_size=6)
TEXTS = st.lists(st.tuples(WORDS, st.sampled_from([" ", ", ", ".", "\t", "  ", "\n"])).map(lambda made: made[1].join(made[0])))


@given(TEXTS)
@settings(deadline=None)
def test_an_entry_is_found_between_spaces_and_punctuation_as_the_plain_search_finds_it(texts):
    entries = ["red", "car", "red car", "a", "a a", "شسي", "\x00", "日本", "d c"]
    assert matched(matcher_of(entries), texts) == plainly_matched(entries, texts)


def matcher_of(entries) -> Matcher:
    from ahocorasick_rs import BytesAhoCorasick

    patterns = [f" {entry} ".encode() for entry in entries]
    return Matcher(BytesAhoCorasick(patterns), np.arange(len(entries), dtype=np.uint64), "exact")


def test_what_begins_in_one_text_and_ends_in_the_next_is_no_match():
    assert matched(matcher_of(["car  red", "red"]), ["a car", "red thing"]) == {(1, 1)}
    assert matched(matcher_of(["car  red"]), ["a car  red"]) == {(0, 0)}


def test_a_text_of_200_000_characters_is_searched_whole():
    text = "x " * 100_000 + "car"
    assert matched(matcher_of(["car", "x"]), [None, text, ""]) == {(1, 0), (1, 1)}


def test_texts_are_spaced_as_metaclip_spaces_them():
    texts = ["a,b", "", "tab\there\r\n", "`?!", "日。本"]
    assert spaced(pa.array(texts, pa.large_string())).to_pylist() == [plainly_spaced(text) for text in texts]


def test_counts_are_texts_not_occurrences(tmp_path):
    path = entries_file(tmp_path, ["car", "red"])
    rule = MetaClip(path, "exact", 10, None, 0).resolve(lambda _: pool_of(["car car car", "red car", "none", None], 2))
    assert rule.counts.tolist() == [2, 1]


def test_entries_up_to_t_are_kept_whole_and_texts_without_one_are_dropped(tmp_path):
    path = entries_file(tmp_path, ["car", "red"])
    batches = pool_of(["car", "red car", "blue", None, "scarred", "red."])
    rule = resolve(MetaClip(path, "exact", 2, None, 0), lambda _: batches)
    assert [kept for batch in batches for kept in rule.keep(batch).to_pylist()] == [True, True, False, False, False, True]


def test_an_entry_above_t_is_thinned_to_about_t_and_a_rare_one_in_the_same_text_saves_it(tmp_path):
    path = entries_file(tmp_path, ["car", "rare"])
    texts = ["a car"] * 4000 + ["a rare car"] * 20
    batches = pool_of(texts, 512)
    rule = MetaClip(path, "exact", 1000, None, 0).resolve(lambda _: batches)
    kept = np.array([answer for batch in batches for answer in rule.keep(batch).to_pylist()])
    assert abs(kept[:4000].sum() - 4000 * 1000 / 4020) < 4 * np.sqrt(1000)
    assert kept[4000:].all()


def test_two_common_entries_have_a_draw_each(tmp_path):
    path = entries_file(tmp_path, ["red", "car"])
    batches = pool_of(["red car"] * 4000, 999)
    rule = MetaClip(path, "exact", 1000, None, 0).resolve(lambda _: batches)
    kept = np.mean([answer for batch in batches for answer in rule.keep(batch).to_pylist()])
    assert abs(kept - (1 - 0.75**2)) < 0.03


def test_draws_depend_on_the_seed_but_not_on_the_order_of_rows_or_of_the_list(tmp_path):
    batches = pool_of(["red car"] * 300, 300)
    path, turned = entries_file(tmp_path, ["red", "car"]), entries_file(tmp_path, ["car", "red"], "turned.txt")
    answers = [
        np.array(MetaClip(entries, "exact", 50, None, seed).resolve(lambda _: batches).keep(batches[0]))
        for entries, seed in ((path, 0), (turned, 0), (path, 1))
    ]
    assert (answers[0] == answers[1]).all()
    assert (answers[0] != answers[2]).any()
    order = np.random.default_rng(0).permutation(300)
    rule = MetaClip(path, "exact", 50, None, 0).resolve(lambda _: batches)
    assert (np.array(rule.keep(batches[0].take(pa.array(order)))) == answers[0][order]).all()


def test_case_counts_unless_it_is_folded(tmp_path):
    path = entries_file(tmp_path, ["Red", "red", "ÄRA"])
    batches = pool_of(["RED", "red", "ära"])
    assert [
        MetaClip(path, case, 5, None, 0).resolve(lambda _: batches).keep(batches[0]).to_pylist() for case in ("exact", "fold")
    ] == [[False, True, False], [True, True, True]]


@given(st.lists(st.integers(0, 30), max_size=12), st.floats(0, 1))
def test_t_of_a_tail_share_is_the_largest_count_whose_smaller_ones_have_at_most_that_share(counts, share):
    t = count_at_tail(np.array(counts, np.int64), share)
    below = {own: sum(count for count in counts if count < own) for own in counts if own}
    fitting = [own for own, matches in below.items() if matches <= share * sum(counts)]
    assert t == max(fitting, default=1)


def test_a_tail_share_finds_t_on_the_pool(tmp_path):
    path = entries_file(tmp_path, ["common", "rare"])
    rule = build("metaclip", {"entries": path, "tail_share": 0.1}, CONTEXT).resolve(lambda _: pool_of(["common"] * 20 + ["rare"]))
    assert rule.t == 20


def test_a_list_may_be_lines_or_json_and_repeats_and_blanks_in_it_do_not_count(tmp_path):
    lines = entries_file(tmp_path, ["red", "", " car ", "red", "\r"])
    listed = tmp_path / "list.json"
    listed.write_text(json.dumps(["red", " car ", "red", ""]))
    assert read_entries(lines) == read_entries(str(listed)) == ["red", "car"]


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"", "has no entry"), (b"\xff\xfe", "no list of entries"), (b"[1]", "not all texts"), (b'["a"', "no list of entries")],
)
def test_a_list_that_is_none_is_told_by_its_path(tmp_path, content, told):
    path = tmp_path / "entries"
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"entries: .*{told}"):
        build("metaclip", {"entries": str(path)}, CONTEXT)


def test_a_lone_surrogate_in_a_json_list_is_told_and_not_raised(tmp_path):
    path = tmp_path / "list.json"
    path.write_text('["\\ud800"]')
    with pytest.raises(UserError, match="no list of entries"):
        read_entries(str(path))


@pytest.mark.parametrize("given", [{"t": 5, "tail_share": 0.1}, {"t": 0}, {"tail_share": 1.5}])
def test_bounds_that_make_no_sense_are_refused(tmp_path, given):
    with pytest.raises(UsageError, match=next(iter(given))):
        build("metaclip", {"entries": entries_file(tmp_path, ["a"]), **given}, CONTEXT)


def test_the_matcher_of_a_list_is_made_once(tmp_path):
    path = entries_file(tmp_path, ["red"])
    assert load_matcher(path, "exact") is load_matcher(path, "exact")
