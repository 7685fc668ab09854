"""Dedup by uid, URL or text: what is the same, who survives, and that a sample and a resumed run stay what they are."""

import unicodedata
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.addresses import normalise
from pipeline.pool import PoolConfig, run
from pipeline.pool.funnel import REASONS
from pipeline.pool.sameness import hashes_of, keys_of, rank_of, same_text

MODES = ["uid", "url", "text"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("A Red Cat", "a red cat"),
        (" a\t red\r\n cat ", "a red cat"),
        ("ＡＢＣ　１２３", "abc 123"),
        ("Straße", "STRASSE"),
        ("ﬁne", "FINE"),
        ("é", "e\u0301"),
        ("\u1f80", "\u1f00\u03b9"),
        ("ΌΣΟΣ", "όσος"),
        ("ｶﾞ", "ガ"),
    ],
)
def test_texts_that_differ_in_case_width_composition_or_space_are_the_same(one, other):
    assert same_text(one) == same_text(other)


@pytest.mark.parametrize(
    ("one", "other"), [("a cat", "acat"), ("a cat.", "a cat"), ("café", "cafe"), ("ı", "i"), ("a\u200bb", "ab")]
)
def test_texts_that_differ_otherwise_stay_different(one, other):
    assert same_text(one) != same_text(other)


@given(st.text())
def test_the_form_of_a_text_is_its_own_form_and_that_of_its_case_foldings(text):
    form = same_text(text)
    assert same_text(form) == form
    assert same_text(text.casefold()) == form
    assert same_text(unicodedata.normalize("NFKD", text)) == form
    assert same_text(f" {text}\n") == form
    assert form == " ".join(form.split())


@given(st.text(alphabet=st.characters(max_codepoint=127)))
def test_of_ascii_the_form_is_that_of_the_long_way(text):
    assert same_text(text) == " ".join(text.casefold().split())
    assert same_text(text + "é").removesuffix("é").strip() == same_text(text)


def test_every_character_alone_has_a_form_that_stays():
    for code in range(0x110000):
        form = same_text(chr(code))
        assert same_text(form) == form, hex(code)


@pytest.fixture
def candidates(tmp_path, row, write):
    """Four texts under five URLs in several spellings, each pair on up to three days, some of whose pages opt out."""
    rows = []
    for number in range(600):
        text = ["A Cat", "a  cat", "ein Hund", "Ein HUND", "bird", "猫"][number % 6] + f" {number % 35}"
        url = ["http://I.example/{}", "https://i.example/{}#top", "https://i.example/x/../{}"][number % 3].format(number % 50)
        robots = {1: ["noai"], 2: ["none", "noindex"]}.get(number % 41, [])
        rows.append(row(text=text, url=url, day=number * 7 % 5, record_offset=number * 31 % 97, robots=robots))
        rows += [{**rows[-1], "record_offset": 1000 + number}] * (number % 3)
    return write(tmp_path / "candidates", rows[::3], rows[1::3], rows[2::3])


@pytest.fixture(params=MODES)
def config(request, tmp_path, candidates):
    return PoolConfig(candidates=candidates, out=str(tmp_path / "pool"), partitions=4, dedup=request.param)


def data_of(folder):
    return {path.name: path.read_bytes() for path in sorted(Path(folder).glob("*.parquet"))}


def rows_of(folder):
    return pq.ParquetDataset([Path(folder) / name for name in data_of(folder)]).read().to_pylist()


def groups_of(config):
    """The candidates by what makes them the same."""
    key = {"uid": lambda r: r["uid"], "url": lambda r: normalise(r["url"]), "text": lambda r: same_text(r["text"])}[config.dedup]
    groups = defaultdict(list)
    for row in pq.read_table(config.candidates).to_pylist():
        groups[key(row)].append(row)
    return groups


def age_of(row):
    return (row["fetched_at"], row["wat_path"], row["record_offset"], row["page_url"], row["source"], row["uid"])


def opted_out(row, group, dedup):
    """A page speaks for its pair, on every page; in dedup by URL for all pairs of the image."""
    return any(other["robots"] for other in group if dedup == "url" or other["uid"] == row["uid"])


def test_of_each_group_the_earliest_survives_told_of_the_others_and_of_its_opt_outs(spark, config):
    manifest = run(replace(config, opt_out="flag"), spark)
    found = {row["uid"]: row for row in rows_of(config.out)}
    groups = groups_of(config).values()
    assert manifest.counts["rows_out"] == len(found) == len(groups)
    for group in groups:
        earliest = min(group, key=age_of)
        assert found[earliest["uid"]].items() >= earliest.items()
        assert found[earliest["uid"]]["n_records"] == len(group)
        assert found[earliest["uid"]]["opted_out"] == opted_out(earliest, group, config.dedup)


def test_exact_duplicates_are_counted_apart_from_those_of_the_mode_and_all_adds_up(spark, config):
    counts = run(config, spark).counts
    groups = groups_of(config).values()
    pairs = [[row for row in group if row["uid"] == uid] for group in groups for uid in {row["uid"] for row in group}]
    rows = sum(map(len, groups))
    assert (counts["rows_in"], counts["dropped_duplicate"]) == (rows, rows - len(pairs))
    asked = groups if config.dedup == "url" else pairs  # whether they opt out
    noai = sum(any("noai" in row["robots"] for row in group) for group in asked)
    refused = sum(any(row["robots"] for row in group) for group in asked)
    assert counts["dropped_opt_out_noai"] == noai
    assert counts["dropped_opt_out_none"] == refused - noai
    if config.dedup == "url":
        assert counts["dropped_duplicate_url"] == len(pairs) - len(groups)
    elif config.dedup == "text":
        left = [group for group in groups if any(not opted_out(row, group, "text") for row in group)]
        assert counts["rows_out"] == len(left)
        assert counts["dropped_duplicate_text"] == len(pairs) - refused - len(left)
    dropped = {name: count for name, count in counts.items() if name.startswith("dropped_")}
    assert dropped.keys() <= REASONS.keys()
    assert counts["rows_in"] == counts["rows_out"] + sum(dropped.values())


def test_a_sample_is_a_prefix_of_the_whole_in_every_mode(spark, config, tmp_path):
    part = replace(config, sample=0.4, out=str(tmp_path / "sample"))
    run(config, spark)
    counts = run(part, spark).counts
    everything, sample = rows_of(config.out), rows_of(part.out)
    assert 0.2 * len(everything) < len(sample) < 0.6 * len(everything)
    assert sample == everything[: len(sample)]
    assert counts["rows_in"] == counts["rows_out"] + sum(n for name, n in counts.items() if name.startswith("dropped_"))


def test_the_bytes_do_not_depend_on_files_order_or_batches(spark, config, tmp_path, write, monkeypatch):
    rows = pq.read_table(config.candidates).to_pylist()
    other = write(tmp_path / "other", rows[::-2], rows[-2::-2])
    again = replace(config, candidates=other, out=str(tmp_path / "again"))
    run(config, spark)
    before = spark.conf.get("spark.sql.execution.arrow.maxRecordsPerBatch")
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "7")
    try:
        run(again, spark)
    finally:
        spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", before)
    assert data_of(config.out) == data_of(again.out)


def test_a_run_taken_up_again_gives_the_same_bytes_in_every_mode(spark, config):
    whole = run(config, spark)
    before = data_of(config.out)
    (Path(config.out) / "_parts" / "part-00002.json").unlink()
    again = run(config, spark)
    assert again.parts_resumed == 3
    assert again.counts == whole.counts
    assert data_of(config.out) == before


def test_the_mode_is_part_of_the_configuration(spark, config):
    run(config, spark)
    other = next(mode for mode in MODES if mode != config.dedup)
    with pytest.raises(Exception, match=f"dedup: '{config.dedup}' there, '{other}' now"):
        run(replace(config, dedup=other), spark)


@given(st.lists(st.tuples(st.text(), st.text()), max_size=20), st.sampled_from(MODES), st.integers(-5, 5))
def test_whatever_a_row_holds_it_has_a_rank(pairs, mode, seed):
    columns = {"uid": ["f" * 32] * len(pairs), "url": [url for url, _ in pairs], "text": [text for _, text in pairs]}
    hashes = hashes_of(keys_of(mode, pa.record_batch({name: pa.array(v, pa.string()) for name, v in columns.items()})), seed)
    assert len(hashes) == len(pairs)
    assert all(len(hashed) == 16 and 0 <= rank_of(hashed) < 2**63 for hashed in hashes)
