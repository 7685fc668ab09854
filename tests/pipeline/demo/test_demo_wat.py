import gzip
import json
import zlib

import pyarrow.parquet as pq

from pipeline.demo import html
from pipeline.demo.page_metadata import metadata_of
from pipeline.extract import ExtractConfig
from pipeline.extract import run as extract


def members(path):
    """Each gzip member of a file, inflated alone."""
    with open(path, "rb") as file:
        data = file.read()
    while data:
        inflater = zlib.decompressobj(31)
        yield inflater.decompress(data)
        data = inflater.unused_data


def envelopes(path):
    """(header fields, JSON) of every metadata record of a WAT."""
    for member in members(path):
        head, _, block = member.partition(b"\r\n\r\n")
        assert head.startswith(b"WARC/1.0\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
        assert block[int(fields["Content-Length"]) :] == b"\r\n\r\n"
        if fields["WARC-Type"] == "metadata":
            yield fields, json.loads(block[: int(fields["Content-Length"])])


def key_order(value):
    """The keys of an object in order, down to where the data begins (headers, head, links and free-form facts)."""
    free = {"Headers", "HTML-Metadata", "WARC-Info-Metadata", "Metadata-Records"}
    return [(key, key_order(inner) if isinstance(inner, dict) and key not in free else None) for key, inner in value.items()]


def orders_by_type(path):
    """Record type → the key orders found, for records with HTML where they are responses."""
    found = {}
    for _, record in envelopes(path):
        kind = record["Envelope"]["WARC-Header-Metadata"]["WARC-Type"]
        found.setdefault(kind, []).append(key_order(record))
    return found


def test_every_member_is_one_record_and_the_first_is_warcinfo(small_web):
    for path in small_web.wats:
        records = list(members(path))
        assert b"WARC-Type: warcinfo" in records[0]
        assert all(record.count(b"WARC/1.0\r\n") == 1 for record in records)
        assert (len(records) - 2) % 3 == 0


def test_records_have_the_keys_of_common_crawls_in_their_order(small_web, shared_data):
    real, ours = orders_by_type(shared_data / "wat/bench_base.warc.wat.gz"), orders_by_type(small_web.wats[0])
    assert set(ours) == set(real) == {"warcinfo", "request", "response", "metadata"}
    for kind, orders in ours.items():
        for order in orders:
            assert order in real[kind], kind


def test_record_headers_are_those_of_common_crawls(small_web, shared_data):
    real = {tuple(fields) for fields, _ in envelopes(shared_data / "wat/bench_base.warc.wat.gz")}
    assert {tuple(fields) for fields, _ in envelopes(small_web.wats[0])} == real


def html_shapes(path):
    """Shapes (key orders) of the objects in HTML-Metadata, by where they stand."""
    found = {"Head": set(), "Metas": set(), "Link": set(), "Scripts": set(), "Links": set()}
    for _, record in envelopes(path):
        page = record["Envelope"]["Payload-Metadata"].get("HTTP-Response-Metadata", {}).get("HTML-Metadata", {})
        head = page.get("Head", {})
        found["Head"].update(head)
        for name in ("Metas", "Link", "Scripts"):
            found[name].update(tuple(entry) for entry in head.get(name, []))
        found["Links"].update((entry.get("path"), tuple(entry)) for entry in page.get("Links", []))
    return found


def test_links_and_head_have_shapes_that_common_crawls_have(small_web, shared_data):
    real = html_shapes(shared_data / "wat/bench_base.warc.wat.gz")
    for path in small_web.wats:
        for name, shapes in html_shapes(path).items():
            assert shapes
            assert shapes - {("charset",), ()} <= real[name] | {()}, name


def test_lengths_offsets_and_links_fit_the_pages(small_web):
    pages, offset = {page.url: page for page in small_web.web.pages}, 0
    for _, record in envelopes(small_web.wats[1]):
        container, envelope = record["Container"], record["Envelope"]
        assert int(container["Offset"]) == offset
        offset += int(container["Gzip-Metadata"]["Deflate-Length"])
        header, payload = envelope["WARC-Header-Metadata"], envelope["Payload-Metadata"]
        assert header["Content-Length"] == payload["Actual-Content-Length"]
        response = payload.get("HTTP-Response-Metadata")
        if response is None:
            continue
        page = pages[header["WARC-Target-URI"]]
        body = html.render(page)
        assert int(response["Entity-Length"]) == int(response["Headers"]["Content-Length"]) == len(body)
        images = [link for link in response["HTML-Metadata"]["Links"] if link["path"] == "IMG@/src"]
        assert [(image["url"], image.get("alt")) for image in images] == [(link.src, link.alt) for link in page.links]


def test_a_header_that_comes_twice_is_a_list():
    from pipeline.demo.wat import _joined

    assert _joined([("A", "1"), ("B", "2"), ("A", "3"), ("A", "4")]) == {"A": ["1", "3", "4"], "B": "2"}


def test_html_metadata_is_read_from_the_page_itself():
    page = (
        b'<!DOCTYPE html><html lang="de"><head><title> A &amp;\n B </title><meta name="robots" content="noai">'
        b'<base href="http://b.example/"><link rel="license" href="/l"><script src="/s.js"></script></head>'
        b'<body><a href="/x" rel="nofollow"><img alt="&quot;q&quot;" src="i.jpg" title=""> go <b>on</b></a>'
        b'<img src="n.gif"></body></html>'
    )
    assert metadata_of(page) == {
        "Head": {
            "Metas": [{"name": "HTML@/lang", "content": "de"}, {"name": "robots", "content": "noai"}],
            "Title": "A & B",
            "Base": "http://b.example/",
            "Link": [{"path": "LINK@/href", "url": "/l", "rel": "license"}],
            "Scripts": [{"path": "SCRIPT@/src", "url": "/s.js"}],
        },
        "Links": [
            {"path": "IMG@/src", "url": "i.jpg", "alt": '"q"', "title": ""},
            {"path": "A@/href", "url": "/x", "rel": "nofollow", "text": "go on"},
            {"path": "IMG@/src", "url": "n.gif"},
        ],
    }


def test_the_wat_is_gzip_that_any_reader_takes(small_web):
    for path in small_web.wats:
        with gzip.open(path) as file:
            assert file.read(8) == b"WARC/1.0"


def test_extract_finds_exactly_the_candidates_of_the_truth(small_web, tmp_path):
    extract(ExtractConfig(wat=tuple(small_web.wats), out=f"{tmp_path}/candidates"))
    columns = ["uid", "url", "text", "page_url"]
    found = pq.read_table(f"{tmp_path}/candidates").to_pylist()
    truth = [row for row in pq.read_table(small_web.truth).to_pylist() if row["candidate"]]
    # extract drops repeats of a uid within a WAT, so pages are compared only where a pair stands once.
    assert {tuple(row[c] for c in columns[:3]) for row in found} == {tuple(row[c] for c in columns[:3]) for row in truth}
    assert {tuple(row[c] for c in columns) for row in found} <= {tuple(row[c] for c in columns) for row in truth}


def test_extract_reads_what_pages_say_of_their_use(small_web, tmp_path):
    extract(ExtractConfig(wat=tuple(small_web.wats), out=f"{tmp_path}/candidates"))
    pages = {page.url: page for page in small_web.web.pages}
    for row in pq.read_table(f"{tmp_path}/candidates").to_pylist():
        page = pages[row["page_url"]]
        assert row["html_lang"] == (page.declared_lang or None)
        assert row["license_url"] == (page.licence or None)
        assert row["content_language"] == (page.content_language or None)
        assert row["tdm_reserved"] == {"": None, "0": False, "1": True}[page.tdm_reservation]
        refused = bool({"noai", "noimageai", "noindex"} & set(row["robots"])) or row["tdm_reserved"] is True
        assert refused == page.opted_out
