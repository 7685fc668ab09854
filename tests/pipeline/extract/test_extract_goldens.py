"""extract on WATs that Common Crawl's extractor wrote gives cc2dataset's rows, but for the documented differences."""

import hashlib
import zlib
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow.parquet as pq
import pytest

from pipeline.extract import ExtractConfig, run

WATS = [
    "wat/bench_base.warc.wat.gz",
    "wat/clueweb.warc.wat.gz",
    "wat/request_only.warc.wat.gz",
    "wat/site2008.warc.wat.gz",
    "wat/site2008_arc.arc.wat.gz",
    "wat/small.warc.wat.gz",
    "web/books.warc.wat.gz",
]


def adjusted(golden):
    """The golden's (uid, url, text) after the documented differences, and how many rows each of them costs."""
    rows, blank, no_host = set(), 0, 0
    for row in golden.to_pylist():
        src, url = row["src"], row["url"]
        if not src.strip():
            blank += 1
            continue
        if src != src.strip():
            # The end of the source is the end of the URL: what urljoin left of the white space goes.
            url = url.strip()
        if not urlsplit(url).hostname:
            no_host += 1
            continue
        rows.add((hashlib.md5((row["text"] + url).encode()).hexdigest(), url, row["text"]))
    return rows, blank, no_host


@pytest.mark.parametrize("wat", WATS)
def test_rows_are_those_of_the_golden(wat, shared_data, tmp_path):
    golden = pq.read_table(shared_data / wat.replace(".wat.gz", ".golden.parquet"))
    expected, blank, no_host = adjusted(golden)
    manifest = run(ExtractConfig(out=str(tmp_path), wat=(str(shared_data / wat),)))
    (path,) = tmp_path.glob("*.parquet")
    rows = pq.read_table(path).to_pylist()
    assert {(r["uid"], r["url"], r["text"]) for r in rows} == expected
    # A pair stands twice only where a later page says more of its rights than those before it.
    assert len({(r["uid"], tuple(r["robots"]), r["tdm_reserved"]) for r in rows}) == len(rows)
    assert manifest.counts.get("dropped_blank_src", 0) == blank
    assert manifest.counts.get("dropped_invalid_host", 0) == no_host
    assert manifest.inputs[0].status == "ok"


def test_every_image_link_of_a_real_wat_is_accounted_for(shared_data, tmp_path):
    counts = run(ExtractConfig(out=str(tmp_path), wat=(str(shared_data / WATS[0]),))).counts
    dropped = sum(count for name, count in counts.items() if name.startswith("dropped_"))
    assert counts["rows_in"] == dropped + counts["rows_out"]


def test_an_arc_wat_gives_the_same_pairs_and_dates_as_the_warc_wat_of_the_same_crawl(shared_data, tmp_path):
    for name in ("site2008.warc.wat.gz", "site2008_arc.arc.wat.gz"):
        run(ExtractConfig(out=str(tmp_path / name), wat=(str(shared_data / "wat" / name),)))
    warc, arc = (pq.read_table(next(Path(tmp_path / n).glob("*.parquet"))) for n in sorted(p.name for p in tmp_path.iterdir()))
    for column in ("uid", "page_url", "fetched_at", "html_lang", "crawl"):
        assert warc[column].to_pylist() == arc[column].to_pylist()


def test_a_row_s_offset_leads_to_its_page(shared_data, tmp_path):
    run(ExtractConfig(out=str(tmp_path), wat=(str(shared_data / WATS[0]),)))
    (part,) = tmp_path.glob("*.parquet")
    table = pq.read_table(part, columns=["record_offset", "page_url"])
    data = (shared_data / WATS[0]).read_bytes()
    pairs = set(zip(*(column.to_pylist() for column in table.columns), strict=True))
    assert len(pairs) > 500
    for offset, page_url in pairs:
        record = zlib.decompressobj(wbits=31).decompress(data[offset : offset + 4000])
        assert f"WARC-Target-URI: {page_url}\r\n".encode() in record[:2000]
