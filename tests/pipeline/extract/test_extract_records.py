"""Pieces → records: one or many in a member, running over members, with wrong lengths."""

import gzip
from collections import Counter
from itertools import pairwise

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from pipeline.extract.members import Joint, Piece
from pipeline.extract.records import read_records

JSON_TEXT = st.text(alphabet='{}":,abc \\', max_size=60).map(str.encode)


def records_of(pieces):
    tally = Counter()
    return list(read_records(pieces, tally)), tally


def cut(data, cuts):
    """`data` as the pieces of one member at offset 7."""
    edges = [0, *sorted(at % (len(data) + 1) for at in cuts), len(data)]
    chunks = [data[a:b] for a, b in pairwise(edges)]
    return [Piece(7, chunk, Joint.WITHIN if i else Joint.MEMBER) for i, chunk in enumerate(chunks)]


@given(blocks=st.lists(JSON_TEXT, min_size=1, max_size=6), cuts=st.lists(st.integers(5, 10_000), max_size=6))
def test_records_of_one_member_are_the_same_however_it_arrives(make, blocks, cuts):
    data = b"".join(make.record(block) for block in blocks)
    records, tally = records_of(cut(data, [max(5, at) for at in cuts if at % (len(data) + 1) >= 5]))
    assert [record.block for record in records] == blocks
    assert {record.offset for record in records} == {7}
    assert tally == {"records": len(blocks)}


@given(
    blocks=st.lists(JSON_TEXT.filter(bytes.strip), min_size=1, max_size=5),
    lengths=st.lists(st.one_of(st.integers(0, 500), st.just("many"), st.just(10**14)), min_size=5, max_size=5),
)
def test_a_wrong_content_length_costs_nothing(make, blocks, lengths):
    data = b"".join(make.record(block, length=length) for block, length in zip(blocks, lengths, strict=False))
    records, tally = records_of([Piece(0, data, Joint.MEMBER)])
    assert [record.block.strip() for record in records] == [block.strip() for block in blocks]
    assert tally["records"] == len(blocks)


def test_a_record_has_its_type_and_target(make):
    (record,), _ = records_of([Piece(3, make.record(b"{}", target="http://a.example/"), Joint.MEMBER)])
    assert record == (3, b"metadata", b"http://a.example/", b"{}")


def test_a_record_may_run_on_over_members(make):
    data = make.record(b'{"long": 1}') + make.record(b"{}")
    pieces = [Piece(at, data[at : at + 20], Joint.MEMBER) for at in range(0, len(data), 20)]
    records, tally = records_of(pieces)
    assert [record.block for record in records] == [b'{"long": 1}', b"{}"]
    assert tally == {"records": 2}


def test_a_gap_costs_the_record_it_stands_in_and_no_other(make):
    first, second, third = (make.record(b'{"n": %d}' % n) for n in (1, 2, 3))
    pieces = [Piece(0, first + second[:-9], Joint.MEMBER), Piece(0, b"", Joint.GAP), Piece(900, third, Joint.MEMBER)]
    pieces.append(Piece(990, b"", Joint.GAP))
    records, _ = records_of(pieces)
    assert [(record.offset, record.block) for record in records] == [(0, b'{"n": 1}'), (900, b'{"n": 3}')]


def test_bytes_that_begin_no_record_are_counted(make):
    records, tally = records_of([Piece(0, b"junk\r\n\r\n" + make.record(b"{}"), Joint.MEMBER)])
    assert [record.block for record in records] == [b"{}"]
    assert tally == {"records": 1, "records_without_header": 1}


def test_a_wat_in_one_member_uncompressed_or_zstd_gives_the_rows_of_one_with_a_member_per_record(make, extracted):
    records = [make.record(make.page([make.image(f"{n}.jpg")], url=f"https://p{n}.example/")) for n in range(5)]
    per_record = extracted(b"".join(make.member(record) for record in records))
    in_one = extracted(gzip.compress(b"".join(records)))
    plain = extracted(b"".join(records), "test.warc.wat")
    zst = extracted(b"".join(zstandard.ZstdCompressor().compress(record) for record in records), "test.warc.wat.zst")
    uids = [row["uid"] for row in per_record.rows]
    assert len(uids) == 5
    for other in (in_one, plain, zst):
        assert [row["uid"] for row in other.rows] == uids
        assert other.report.status == "ok"
    assert [row["record_offset"] for row in in_one.rows] == [0] * 5
    assert [row["record_offset"] for row in plain.rows] == [sum(map(len, records[:n])) for n in range(5)]


def test_a_plain_file_cut_in_a_record_is_partial(make, extracted):
    records = [make.record(make.page([make.image(f"{n}.jpg")])) for n in range(3)]
    result = extracted(b"".join(records)[:-40], "test.warc.wat")
    assert len(result.rows) == 2
    assert result.report.status == "partial"
    assert result.report.error == "records cut short: 1"


def test_a_record_s_offset_is_that_of_its_zstd_frame_however_large(make, extracted):
    links = [make.image(f"{at * 7919}.jpg", f"{at * 104729 % 99991:x} {at * at}") for at in range(3000)]
    records = [make.record(make.page(links[at::3], url=f"https://p{at}.example/")) for at in range(3)]
    frames = [zstandard.ZstdCompressor().compress(record) for record in records]
    assert min(map(len, frames)) > 8 << 10
    rows = extracted(b"".join(frames), "test.warc.wat.zst").rows
    offsets = {row["page_url"]: row["record_offset"] for row in rows}
    assert list(offsets.values()) == [sum(map(len, frames[:n])) for n in range(3)]


def test_a_zstd_file_cut_in_a_frame_is_partial(make, extracted):
    frames = [zstandard.ZstdCompressor().compress(make.record(make.page([make.image(f"{n}.jpg")]))) for n in range(3)]
    result = extracted(b"".join(frames)[:-9], "test.warc.wat.zst")
    assert len(result.rows) == 2
    assert (result.report.status, result.counts["truncated_files"]) == ("partial", 1)


@pytest.mark.parametrize("length", [0, 40, 10**14, "many", "", "-5"])
@pytest.mark.parametrize("together", [True, False])
def test_a_page_whose_content_length_is_wrong_keeps_its_rows_and_is_counted(make, extracted, length, together):
    pages = [make.page([make.image(f"{n}.jpg")]) for n in range(3)]
    records = [make.record(page, length=length if n == 1 else None) for n, page in enumerate(pages)]
    result = extracted(make.member(b"".join(records)) if together else b"".join(map(make.member, records)))
    assert [row["url"][-5:] for row in result.rows] == ["0.jpg", "1.jpg", "2.jpg"]
    assert (result.counts["records_wrong_length"], result.report.status) == (1, "ok")


@pytest.mark.parametrize(("after", "junk"), [(0, b"junk\r\n\r\n"), (1, b"junk"), (1, b"WAR"), (1, b"junk\r\n\r\n")])
def test_bytes_after_a_whole_record_do_not_cost_it(make, extracted, after, junk):
    records = [make.record(make.page([make.image(f"{n}.jpg")])) for n in range(2)]
    records[after] += junk
    result = extracted(make.member(b"".join(records)))
    assert len(result.rows) == 2
    assert result.counts["records_without_header"] == 1


def test_a_file_cut_in_the_first_bytes_of_a_record_keeps_the_record_before(make, extracted):
    first, second = (make.record(make.page([make.image(f"{n}.jpg")])) for n in range(2))
    plain = extracted((first + second)[: len(first) + 3], "test.warc.wat")
    assert [row["url"][-5:] for row in plain.rows] == ["0.jpg"]
    stored = gzip.compress(second, compresslevel=0, mtime=0)  # stored as they are: the header, 5 bytes, then the record's
    zipped = extracted(make.member(first) + stored[: 10 + 5 + 3])
    assert [row["url"][-5:] for row in zipped.rows] == ["0.jpg"]


def test_a_record_s_offset_is_that_of_the_member_it_begins_in(make, extracted):
    short, long, last = (make.record(make.page([make.image("a.jpg", "x" * size)])) for size in (1, 2000, 2))
    whole = short + long + last
    members = [gzip.compress(whole[at : at + 1000], mtime=0) for at in range(0, len(whole), 1000)]
    result = extracted(b"".join(members))
    begins = [0, 0, sum(map(len, members[: (len(short) + len(long)) // 1000]))]
    assert [len(row["text"]) for row in result.rows] == [1, 2000, 2]
    assert [row["record_offset"] for row in result.rows] == begins
