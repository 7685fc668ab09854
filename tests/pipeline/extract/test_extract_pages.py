"""Records → rows: what every column holds, and that one bad record costs itself alone."""

import gzip
import json
from datetime import UTC, datetime

import pyarrow.parquet as pq
import pytest

from pipeline.extract import ExtractConfig, run
from pipeline.extract.pages import fetched_at_us, load


def test_a_row_has_all_columns(make, extracted):
    info = {"Envelope": {"Payload-Metadata": {"WARC-Info-Metadata": {"isPartOf": "CC-MAIN-2024-22"}}}}
    head = {
        "Metas": [{"name": "HTML@/lang", "content": "de-CH"}, {"name": "robots", "content": "NoAI"}],
        "Link": [{"path": "LINK@/href", "url": "/licence", "rel": "license"}],
    }
    first = make.member(make.record(info))
    page = make.page([make.image("a.jpg", "Eine Katze")], headers={"Content-Language": "de"}, head=head)
    result = extracted(first + make.member(make.record(page)))
    (row,) = result.rows
    assert row.pop("wat_path").endswith("/test.warc.wat.gz")
    assert row == {
        "uid": "d5185a194c8ae8620b13eec8190d1192",
        "url": "https://page.example/dir/a.jpg",
        "text": "Eine Katze",
        "page_url": "https://page.example/dir/page.html",
        "crawl": "CC-MAIN-2024-22",
        "record_offset": len(first),
        "fetched_at": datetime(2024, 5, 18, 1, 58, 10, tzinfo=UTC),
        "html_lang": "de-CH",
        "content_language": "de",
        "license_url": "https://page.example/licence",
        "robots": ["noai"],
        "tdm_reserved": None,
        "source": "img",
    }


def test_a_base_href_moves_the_links(make, extracted_page):
    (row,) = extracted_page([make.image("a.jpg")], head={"Base": "//other.example/x/"}).rows
    assert row["url"] == "https://other.example/x/a.jpg"


def test_links_without_alt_of_other_kinds_and_of_wrong_shape_give_no_row(make, extracted_page):
    odd = [None, 7, "IMG@/src", {"path": "IMG@/src"}, make.image("a.jpg", ""), make.image("a.jpg", None), make.image("a.jpg", 5)]
    other = [{"path": "A@/href", "url": "/b", "alt": "x"}, make.image(None), make.image(["a.jpg"])]
    result = extracted_page([*odd, *other, make.image("a.jpg", " ")])
    assert [row["text"] for row in result.rows] == [" "]  # blank alts are kept, as cc2dataset keeps them
    assert result.counts["dropped_no_alt"] == 4
    assert result.counts["dropped_blank_src"] == 2
    assert result.counts["rows_in"] == 7


def test_a_pair_seen_again_in_the_wat_is_dropped_and_its_first_record_kept(make, extracted):
    pages = [make.page([make.image("https://c.example/a.jpg")] * 2, url=f"https://p{n}.example/") for n in (1, 2)]
    result = extracted(b"".join(make.member(make.record(page)) for page in pages))
    assert [row["page_url"] for row in result.rows] == ["https://p1.example/"]
    assert result.counts["dropped_duplicate_in_wat"] == 3


def test_a_pair_seen_again_on_a_page_that_opts_out_is_kept_for_the_pool_to_see(make, extracted):
    links = [make.image("https://c.example/a.jpg")]
    pages = [make.page(links, url="https://p1.example/")]
    pages += [make.page(links, url=f"https://p{n}.example/", headers={"X-Robots-Tag": "noai"}) for n in (2, 3)]
    result = extracted(b"".join(make.member(make.record(page)) for page in pages))
    assert [(row["page_url"], row["robots"]) for row in result.rows] == [
        ("https://p1.example/", []),
        ("https://p2.example/", ["noai"]),
    ]
    assert result.counts["dropped_duplicate_in_wat"] == 1


def pages_saying(make, *said):
    links = [make.image("https://c.example/a.jpg")]
    pages = [make.page(links, url=f"https://p{n}.example/", headers=headers) for n, headers in enumerate(said)]
    return b"".join(make.member(make.record(page)) for page in pages)


def test_a_pair_seen_again_on_a_page_that_says_more_but_does_not_refuse_is_dropped(make, extracted):
    silent = [{}, {"X-Robots-Tag": "nofollow"}, {"X-Robots-Tag": "googlebot: noindex"}, {"tdm-reservation": "0"}]
    result = extracted(pages_saying(make, *silent))
    assert [row["page_url"] for row in result.rows] == ["https://p0.example/"]
    assert result.counts["dropped_duplicate_in_wat"] == 3


def test_a_pair_seen_again_is_kept_for_each_new_way_in_which_a_page_refuses(make, extracted):
    noai, noindex, reserved = {"X-Robots-Tag": "noai"}, {"X-Robots-Tag": "noindex"}, {"tdm-reservation": "1"}
    both = {"X-Robots-Tag": ["noindex", "noai"]}
    result = extracted(
        pages_saying(make, noai, noai, {}, noindex, both, reserved, {**both, **reserved}, {"X-Robots-Tag": "ccbot: noai"})
    )
    assert [row["page_url"][9] for row in result.rows] == ["0", "3", "5", "7"]
    assert result.counts["dropped_duplicate_in_wat"] == 4


BROKEN = {
    "no envelope": {"Container": {}},
    "no payload": {"Envelope": {"WARC-Header-Metadata": {}}},
    "envelope is a list": {"Envelope": ["IMG@/src"]},
    "response is null": {"Envelope": {"Payload-Metadata": {"HTTP-Response-Metadata": None}}},
    "html is text": {"Envelope": {"Payload-Metadata": {"HTTP-Response-Metadata": {"HTML-Metadata": "IMG@/src"}}}},
    "not an object": ["IMG@/src"],
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
def test_a_record_of_another_shape_costs_no_other(make, extracted, broken):
    good = make.page([make.image("a.jpg")])
    broken = {**broken, "note": "IMG@/src"} if isinstance(broken, dict) else broken
    result = extracted(b"".join(make.member(make.record(value)) for value in (good, broken, good)))
    assert len(result.rows) == 1
    assert result.report.status == "ok"


@pytest.mark.parametrize(
    "block", [b'{"IMG@/src": ', b"IMG@", b"[" * 100_000 + b'"IMG@/src"', b"\xff\xfeIMG@", b'{"IMG@": 1' + b"0" * 9999 + b"}"]
)
def test_a_block_that_is_no_json_is_counted(make, extracted, block):
    good = make.member(make.record(make.page([make.image("a.jpg")])))
    result = extracted(good + make.member(make.record(block)) + good)
    assert len(result.rows) == 1
    assert result.counts["records_invalid_json"] == 1


def test_a_page_without_container_keeps_its_rows(make, extracted):
    page = make.page([make.image("a.jpg")])
    del page["Container"]
    assert len(extracted(make.member(make.record(page))).rows) == 1


def test_a_page_whose_envelope_has_no_url_takes_that_of_its_record(make, extracted):
    record = make.record(make.page([make.image("a.jpg")], url=None), target="https://record.example/x/")
    (row,) = extracted(make.member(record)).rows
    assert (row["url"], row["page_url"]) == ("https://record.example/x/a.jpg", "https://record.example/x/")


@pytest.mark.parametrize("space", [b"", b" ", b"\t", b"  ", b" \t "])
def test_white_space_before_a_record_s_target_is_none_of_it(make, extracted, space):
    record = make.record(make.page([make.image("a.jpg")], url=None), target="https://record.example/x/")
    (row,) = extracted(make.member(record.replace(b"WARC-Target-URI: ", b"WARC-Target-URI:" + space))).rows
    assert row["page_url"] == "https://record.example/x/"


def test_a_page_with_no_url_at_all_is_counted(make, extracted_page):
    result = extracted_page([make.image("a.jpg")], url=None)
    assert result.rows == []
    assert result.counts["records_without_url"] == 1


def test_an_arc_page_has_its_url_and_date_from_the_arc_header(make, extracted):
    page = make.page([make.image("a.jpg")])
    del page["Envelope"]["WARC-Header-Metadata"]
    page["Envelope"]["ARC-Header-Metadata"] = {"Target-URI": "http://arc.example/d/", "Date": "20080430204826"}
    (row,) = extracted(make.member(make.record(page))).rows
    assert row["url"] == "http://arc.example/d/a.jpg"
    assert row["fetched_at"] == datetime(2008, 4, 30, 20, 48, 26, tzinfo=UTC)


def test_text_that_is_no_valid_unicode_is_mended_and_the_file_stays_readable(make, extracted):
    page = json.dumps(make.page([make.image("a.jpg", "ALT")])).encode()
    alts = [rb"\ud83d lone", rb"\ud83d\ude00 pair", b"\xff raw", b"tab\x09 raw \x01", rb"nul \u0000", b"\xed\xa0\xbd"]
    wat = b"".join(make.member(make.record(page.replace(b"ALT", alt))) for alt in alts)
    texts = [row["text"] for row in extracted(wat).rows]
    assert texts == ["\ufffd lone", "😀 pair", "\ufffd raw", "tab\t raw \x01", "nul \x00", "\ufffd" * 3]


def test_a_very_long_alt_is_kept(make, extracted_page):
    (row,) = extracted_page([make.image("a.jpg", "ä" * 200_000)]).rows
    assert len(row["text"]) == 200_000


def test_a_lone_surrogate_in_a_url_or_header_does_not_stop_the_file(make, extracted_page):
    result = extracted_page([make.image("a\ud800.jpg")], headers={"Content-Language": "\udfff"}, url="https://p.example/\udc00/")
    (row,) = result.rows
    assert row["url"] == "https://p.example/\ufffd/a\ufffd.jpg"


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("2024-05-18T01:58:10Z", datetime(2024, 5, 18, 1, 58, 10, tzinfo=UTC)),
        ("2024-05-18T01:58:10.123456Z", datetime(2024, 5, 18, 1, 58, 10, 123456, tzinfo=UTC)),
        ("2024-05-18T03:58:10+02:00", datetime(2024, 5, 18, 1, 58, 10, tzinfo=UTC)),
        ("2024-05-18T01:58:10", datetime(2024, 5, 18, 1, 58, 10, tzinfo=UTC)),
        ("19690720201740", datetime(1969, 7, 20, 20, 17, 40, tzinfo=UTC)),
    ],
)
def test_dates_of_warc_and_arc_are_read(date, expected):
    microseconds = fetched_at_us(date)
    assert microseconds is not None
    assert datetime.fromtimestamp(0, UTC).timestamp() + microseconds / 1e6 == pytest.approx(expected.timestamp())


@pytest.mark.parametrize("date", [None, 5, "", "yesterday", "2008-10-294T05:21:46-0700", "20081340000000"])
def test_a_date_that_cannot_be_read_is_null(date):
    assert fetched_at_us(date) is None


def test_the_crawl_comes_from_the_path_where_no_record_states_it(make, tmp_path):
    folder = tmp_path / "crawl-data" / "CC-MAIN-2023-06" / "wat"
    folder.mkdir(parents=True)
    (folder / "x.warc.wat.gz").write_bytes(gzip.compress(make.record(make.page([make.image("a.jpg")]))))
    run(ExtractConfig(out=str(tmp_path / "out"), wat=(str(folder / "x.warc.wat.gz"),)))
    (part,) = (tmp_path / "out").glob("*.parquet")
    (row,) = pq.read_table(part).to_pylist()
    assert row["crawl"] == "CC-MAIN-2023-06"
    assert row["wat_path"] == "crawl-data/CC-MAIN-2023-06/wat/x.warc.wat.gz"


def test_the_crawl_is_read_from_a_warcinfo_record(make, extracted):
    info = make.record(b"software: x\r\nisPartOf: CC-MAIN-2019-01\r\nformat: WARC\r\n", kind="warcinfo")
    (row,) = extracted(make.member(info) + make.member(make.record(make.page([make.image("a.jpg")])))).rows
    assert row["crawl"] == "CC-MAIN-2019-01"


def test_strict_and_tolerant_reading_agree_on_strict_json(make):
    value = make.page([make.image("a.jpg", "é😀\u0000\n")])
    assert load(json.dumps(value).encode()) == load(json.dumps(value).encode() + b" ") == value
