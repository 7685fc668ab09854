"""What one record alone decides: text, URL, opt-out, removal, sample."""

import hashlib
from collections import Counter
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.optout import refusals
from pipeline.pool import PoolConfig
from pipeline.pool.judge import JUDGED, Rules, judge, judge_file, read_tallies
from pipeline.pool.refuse import by_first_reason, opt_outs
from pipeline.removal import compiled


def rules_of(**options):
    return Rules.of(PoolConfig(candidates="c", out="o", **options))


def judged(batch, rows, rules=None, **options):
    counts = Counter()
    return judge(batch(rows), rules or rules_of(**options), counts), dict(counts)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"text": ""}, "dropped_text_blank"),
        ({"text": " \t\n\u00a0\u3000"}, "dropped_text_blank"),
        ({"text": "\x00\x07 \u200b\u200e"}, "dropped_text_unprintable"),
        ({"text": "x" * 101}, "dropped_text_too_long"),
        ({"url": "data:image/png;base64,AAAA"}, "dropped_invalid_url"),
        ({"url": "https://example.org/" + "x" * 200}, "dropped_invalid_url"),
        ({"url": "https://gone.example.com/a.jpg"}, "dropped_removed_by_domain"),
        ({"url": "https://images.example.org/gone.jpg"}, "dropped_removed_by_url"),
        ({"url": "https://images.example.org/hashed.jpg"}, "dropped_removed_by_hash"),
        ({"uid": "0123456789abcdef" * 2}, "dropped_removed_by_uid"),
        ({"uid": "F" * 32}, "dropped_invalid_uid"),
        ({"uid": "f" * 31}, "dropped_invalid_uid"),
    ],
)
def test_a_row_that_may_not_stay_is_counted_by_its_reason(batch, row, values, reason, tmp_path):
    asked = tmp_path / "asked.txt"
    hashed = hashlib.sha256(b"https://images.example.org/hashed.jpg").hexdigest()
    asked.write_text(f"example.com\nhttp://images.example.org/gone.jpg\n{hashed}\n{'0123456789abcdef' * 2}\n")
    with compiled((str(asked),)) as removal:
        rules = replace(rules_of(max_text_chars=100, max_url_chars=100), removal=removal)
        kept, counts = judged(batch, [row(), row(**values)], rules)
    assert kept.num_rows == 1
    assert counts == {reason: 1}


@pytest.mark.parametrize("text", ["猫", "-", "\U0001f600", "x" * 100, " a "])
def test_text_of_any_script_stays_as_it_is(batch, row, text):
    kept, counts = judged(batch, [row(text=text)], max_text_chars=100)
    assert kept["text"].to_pylist() == [text]
    assert counts == {}


@pytest.mark.parametrize(
    ("values", "opted_out"),
    [
        *(({"robots": [word]}, True) for word in ("noai", "noimageai", "noindex", "noimageindex", "none")),
        ({"robots": ["all", "nofollow", "noai"]}, True),
        ({"tdm_reserved": True}, True),
        *(({"robots": [f"{agent}:noai"]}, True) for agent in ("ccbot", "img2dataset", "webpairs")),
        ({"robots": ["googlebot:noindex", "ccbot:nofollow"]}, False),
        ({"robots": ["nofollow", "noarchive", "max-image-preview:none"]}, False),
        ({"robots": None, "tdm_reserved": False}, False),
        ({"robots": [], "tdm_reserved": None}, False),
    ],
)
def test_a_page_opts_out_by_directive_or_by_reservation(batch, row, values, opted_out):
    kept, _ = judged(batch, [row(text="first", robots=["follow"]), row(text="second", **values), row(text="third")])
    assert dict(zip(kept["text"].to_pylist(), map(bool, kept["opt_outs"].to_pylist()), strict=True)) == {
        "first": False,
        "second": opted_out,
        "third": False,
    }


def test_an_opt_out_is_counted_by_the_first_of_its_reasons(batch, row):
    said = [
        ["noindex", "noai"],
        ["ccbot:noimageai"],
        ["nofollow", "noindex", "none"],
        ["noimageindex", "noindex"],
        [],
        None,
        ["none"],
    ]
    rows = [row(text=f"cat {n}", robots=robots, tdm_reserved=n == 4) for n, robots in enumerate(said)]
    counts = by_first_reason(opt_outs(batch(rows)))
    assert counts == {"noai": 1, "noimageai": 1, "none": 2, "noindex": 1, "noimageindex": 0, "tdm": 1}


@given(st.lists(st.tuples(st.lists(st.sampled_from([*refusals(), "nofollow", "googlebot:noai"]), max_size=4), st.booleans())))
def test_whatever_pages_say_each_that_opts_out_is_counted_once(batch, row, pages):
    rows = [row(robots=robots, tdm_reserved=reserved) for robots, reserved in pages]
    expected = sum(reserved or any(word in refusals() for word in robots) for robots, reserved in pages)
    assert sum(by_first_reason(opt_outs(batch(rows))).values()) == expected


def test_records_of_one_uid_in_a_batch_travel_as_one(batch, row):
    kept, _ = judged(batch, [row(day=2), row(day=0, page_url="https://first.org/"), row(day=1, robots=["noai"])])
    assert kept.to_pylist()[0] | {"page_url": "https://first.org/", "n_records": 3, "opt_outs": 1} == kept.to_pylist()[0]


@given(st.integers(0, 2**63 - 1), st.integers(1, 100_000))
def test_buckets_cut_the_ranks_in_order(rank, partitions):
    bucket = rules_of(partitions=partitions).bucket_of(rank)
    assert 0 <= bucket < partitions
    assert bucket * 2**63 <= rank * partitions < (bucket + 1) * 2**63


@pytest.mark.parametrize(("sample", "buckets"), [(1.0, 64), (0.5, 32), (0.1, 7), (1 / 64, 1), (1e-30, 1)])
def test_a_sample_reaches_into_the_first_buckets_only(sample, buckets):
    assert rules_of(sample=sample).buckets == buckets


def test_a_sample_is_of_the_size_asked_and_of_another_seed_another(batch, row):
    rows = [row(text=f"cat {number}") for number in range(4000)]
    kept, counts = judged(batch, rows, sample=0.25, seed=1)
    assert abs(kept.num_rows - 1000) < 120
    assert counts["dropped_not_in_sample"] == 4000 - kept.num_rows
    other, _ = judged(batch, rows, sample=0.25, seed=2)
    both = set(kept["uid"].to_pylist()) & set(other["uid"].to_pylist())
    assert abs(len(both) - 250) < 70


def test_a_file_ends_with_its_tally(row, write, tmp_path):
    folder = write(tmp_path / "c", [row(), row(text="")])
    *batches, last = judge_file(f"{folder}/00000.parquet", rules_of())
    ((report, counts),) = read_tallies(last["tally"].to_pylist())
    assert (report.status, report.rows) == ("ok", 2)
    assert counts == {"rows_in": 2, "dropped_text_blank": 1}
    assert [batch.schema for batch in batches] == [JUDGED]


def test_a_file_that_is_damaged_costs_what_follows_the_damage(row, tmp_path, batch, monkeypatch):
    monkeypatch.setattr("pipeline.pool.judge.BATCH_ROWS", 10)
    path = tmp_path / "c.parquet"
    with pq.ParquetWriter(path, batch([]).schema, compression="zstd") as writer:
        for group in range(3):
            writer.write_batch(batch([row(text=f"cat {group} {number}") for number in range(100)]))
    data = bytearray(path.read_bytes())
    middle = pq.ParquetFile(path).metadata.row_group(1).column(1)
    data[middle.dictionary_page_offset : middle.dictionary_page_offset + 40] = b"\xff" * 40
    path.write_bytes(data)
    *batches, last = judge_file(str(path), rules_of())
    ((report, counts),) = read_tallies(last["tally"].to_pylist())
    assert report.status == "partial"
    assert report.error
    assert counts["rows_in"] == sum(batch.num_rows for batch in batches) == report.rows
    assert 0 < report.rows < 300


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no parquet at all"])
def test_a_file_that_is_no_parquet_fails_alone(tmp_path, content):
    path = tmp_path / "c.parquet"
    path.write_bytes(content)
    (last,) = judge_file(str(path), rules_of())
    ((report, _),) = read_tallies(last["tally"].to_pylist())
    assert (report.status, report.rows) == ("failed", 0)


def test_a_file_without_a_needed_column_says_which(tmp_path):
    pq.write_table(pa.table({"uid": ["a"], "url": ["b"]}), tmp_path / "c.parquet")
    (last,) = judge_file(str(tmp_path / "c.parquet"), rules_of())
    ((report, _),) = read_tallies(last["tally"].to_pylist())
    assert "column text, page_url, wat_path, record_offset, source is missing" in report.error
