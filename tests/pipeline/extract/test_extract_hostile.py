"""WATs made to harm: each is read in time that grows with its size, and nothing is written past an array's end."""

import gzip
import subprocess
import sys
import time
from collections import Counter
from io import BytesIO

import pytest

from pipeline.extract.wat import read_candidates

METADATA = b"WARC/1.0\r\nWARC-Type: metadata\r\nWARC-Target-URI: http://a.example/\r\nContent-Length: %d\r\n\r\n%b\r\n\r\n"
PAGE = (
    b'{"Envelope":{"Payload-Metadata":{"HTTP-Response-Metadata":{"Headers":{%b},"HTML-Metadata":{"Head":{"Metas":[%b],"Link":[%b]},'
    b'"Links":[{"path":"IMG@/src","url":"/a.jpg","alt":"a"},%b]}}}}}'
)
EXTRACT = (
    "import sys; from collections import Counter; from pipeline.extract.wat import read_candidates\n"
    "print(sum(b.num_rows for b in read_candidates(sys.stdin.buffer, 'x.wat.gz', Counter())))"
)


def wat(headers=b"", metas=b"", head_links=b"", links=b"{}"):
    block = PAGE % (headers, metas, head_links, links)
    return gzip.compress(METADATA % (len(block), block), compresslevel=1, mtime=0)


@pytest.mark.parametrize(
    ("place", "piece"),
    [("metas", b'{"name":" "}'), ("head_links", b'{"rel":"\\n"}'), ("links", b'{"rel":"\\n"}'), ("headers", b'"X-Robots-Tag":1')],
)
def test_a_page_of_nothing_but_the_smallest_notes_is_read(place, piece):
    """In a process of its own: a write past an array's end would end it."""
    data = wat(**{place: b",".join([piece] * (2_000_000 // len(piece) - 100))})
    done = subprocess.run([sys.executable, "-c", EXTRACT], input=data, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, b"1\n"), done.stderr[-2000:]


BEGUN = gzip.compress(b"WARC/1.0\r\nWARC-Type: metadata\r\nContent-Length: 999999\r\n\r\n")
HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\x03"


@pytest.mark.parametrize(
    "data",
    [
        BEGUN + gzip.compress(b"x") * 20_000,
        gzip.compress(b"WARC/1.0\r\n" + b"a:\r\n" * (6 << 20)) + gzip.compress(b"\r\n\r\n") * 1000,
        wat() + (HEADER + b"\0\xff\xff\0\0-----") * 50_000,  # from each header on the file can be inflated to its end
        wat() + HEADER * 5_000 + bytes(range(1, 256)) * 40_000,
    ],
    ids=["a record of tiny members", "a head without end", "members inside each other", "headers and nothing else"],
)
def test_time_does_not_grow_with_the_square_of_the_size(data):
    list(read_candidates(BytesIO(wat()), "x.wat.gz", Counter()))  # compiled by now
    started = time.process_time()
    list(read_candidates(BytesIO(data), "x.wat.gz", Counter()))
    assert time.process_time() - started < 2.0  # 3 to 160 s where it does


def extracted_page(make, links, **of_page):
    tally = Counter()
    data = make.member(make.record(make.page(links, **of_page)))
    return list(read_candidates(BytesIO(data), "x.wat.gz", tally)), tally


def test_a_src_of_more_than_8192_characters_is_dropped_by_name_however_it_is_written(make):
    tails = [
        "a" * 8192,
        "a" * 8193,
        "/" + "b" * 8192,
        "https://c.example/" + "c" * 8174,
        "https://c.example/" + "c" * 8175,
        "é" * 8193,
    ]
    batches, tally = extracted_page(make, [make.image(src) for src in tails])
    assert [url[-1] for batch in batches for url in batch["url"].to_pylist()] == ["a", "c"]
    assert tally["dropped_src_too_long"] == 4


def test_a_page_whose_url_is_longer_than_any_server_takes_has_none(make):
    url = "https://page.example/" + "a" * 8172
    _, tally = extracted_page(make, [make.image("a.jpg")], url=url)
    assert (tally["rows_out"], tally["records_without_url"]) == (0, 1)
    batches, _ = extracted_page(make, [make.image("a.jpg")], url=url[:-1])
    assert batches[0]["page_url"].to_pylist() == [url[:-1]]


def test_a_base_of_more_than_8192_characters_is_none(make):
    batches, _ = extracted_page(make, [make.image("a.jpg")], head={"Base": "https://other.example/" + "a" * 8192 + "/"})
    assert batches[0]["url"].to_pylist() == ["https://page.example/dir/a.jpg"]


def test_what_a_page_repeats_in_each_row_is_bounded(make):
    robots = ", ".join(f"word{number:03}" for number in range(300)) + ", noai, tdm" + "x" * 300
    headers = {"Content-Language": "e" * 1_000_000, "X-Robots-Tag": robots}
    batches, _ = extracted_page(make, [make.image(f"{number}.jpg") for number in range(3000)], headers=headers)
    assert sum(batch.num_rows for batch in batches) == 3000
    assert batches[0]["content_language"].null_count == batches[0].num_rows
    said = batches[0]["robots"][0].as_py()
    assert "noai" in said
    assert len(said) == 101


def test_rows_of_a_page_with_much_to_say_come_in_smaller_groups(make):
    url = "https://page.example/" + "a" * 8000
    batches, _ = extracted_page(make, [make.image(f"{number}.jpg") for number in range(5000)], url=url)
    assert sum(batch.num_rows for batch in batches) == 5000
    assert all(batch.num_rows * len(url) <= 16 << 20 for batch in batches)
