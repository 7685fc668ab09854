"""Images that stand elsewhere than in <img>, each source behind its flag: og:image, links to images, video posters."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.cli import main
from pipeline.extract.batches import Batch
from pipeline.extract.compiled.links import LINK_COLUMNS
from pipeline.extract.compiled.pages import read_pages
from pipeline.extract.compiled.parts import N_LINKS, N_NOTES, NOTE_COLUMNS
from pipeline.extract.compiled.sources import IMAGE_LINK, OG_IMAGE, VIDEO_POSTER
from pipeline.extract.others import MOST_SHARING
from pipeline.extract.records import Record

ALL = {"og_image": True, "image_links": True, "video_posters": True}


def og(name, content, key="property"):
    """A meta as Common Crawl's extractor writes it."""
    return {key: name, "content": content}


def a(url, text="a cat", **more):
    return {"path": "A@/href", "url": url, "text": text, **more}


def poster(url, **more):
    return {"path": "VIDEO@/poster", "url": url, **more}


@pytest.fixture(params=["as the extractor writes it", "odd"])
def extracted_with(request, make, extracted):
    """Extract a WAT of one page with options; the compiled scanner reads it, or gives it up for Python to read."""

    def extract(links, metas=(), *, headers=None, **options):
        page = make.page(links, head={"Metas": list(metas)}, headers=headers)
        if request.param == "odd":
            page["Envelope"]["Payload-Metadata"]["WARC-Info-Metadata"] = {}
        block = json.dumps(page, ensure_ascii=False, separators=(",", ":")).encode()
        result = extracted(make.member(make.record(block)), **options)
        result.found = [(row["source"], row["url"].removeprefix("https://page.example/"), row["text"]) for row in result.rows]
        return result

    return extract


def drops(result):
    return {name: count for name, count in result.counts.items() if count and name.startswith(("dropped_", "mended_"))}


PAGE = (
    [a("a.jpg"), {"path": "IMG@/src", "url": "i.jpg", "alt": "img"}, poster("p.jpg")],
    [og("og:image", "o.jpg"), og("og:title", "T")],
)


@pytest.mark.parametrize(
    ("options", "sources"),
    [
        ({}, ["img"]),
        ({"og_image": True}, ["img", "og:image"]),
        ({"image_links": True}, ["img", "a"]),
        ({"video_posters": True}, ["img", "video"]),
        (ALL, ["img", "og:image", "a", "video"]),
    ],
)
def test_a_source_is_taken_where_its_flag_is_set_and_stands_after_the_images_of_its_page(extracted_with, options, sources):
    result = extracted_with(*PAGE, **options)
    assert [row["source"] for row in result.rows] == sources
    assert result.counts["rows_in"] == len(sources)
    assert {(row["page_url"], row["record_offset"]) for row in result.rows} == {("https://page.example/dir/page.html", 0)}


@pytest.mark.parametrize(("option", "source"), [("--og-image", "og:image"), ("--image-links", "a"), ("--video-posters", "video")])
def test_each_flag_is_an_option_of_the_command(make, tmp_path, option, source):
    (tmp_path / "x.wat.gz").write_bytes(make.member(make.record(make.page(PAGE[0], head={"Metas": PAGE[1]}))))
    assert main(["extract", "--wat", str(tmp_path / "x.wat.gz"), "--out", str(tmp_path / "out"), option]) == 0
    (part,) = (tmp_path / "out").glob("*.parquet")
    assert pq.read_table(part)["source"].to_pylist() == ["img", source]


@pytest.mark.parametrize(
    ("metas", "found"),
    [
        ([og("og:image", "/o.jpg"), og("og:title", "T")], [("o.jpg", "T")]),
        ([og("og:title", "T"), og("og:image", "/o.jpg", key="name")], [("o.jpg", "T")]),
        ([og("OG:Image ", "/o.jpg"), og(" og:TITLE", "T")], [("o.jpg", "T")]),
        ([og("og:image:url", "/o.jpg"), og("og:title", "T")], [("o.jpg", "T")]),
        ([og("og:image:secure_url", "/o.jpg"), og("og:title", "T")], []),
        ([og("og:image", "/o.jpg"), og("og:image", "/p.jpg"), og("og:title", "T")], [("o.jpg", "T"), ("p.jpg", "T")]),
        ([og("og:image", "/o.jpg"), og("og:image:url", "/o.jpg"), og("og:title", "T")], [("o.jpg", "T")]),
        ([og("og:image", "/o.jpg"), og("og:description", "D"), og("og:title", "T"), og("og:title", "U")], [("o.jpg", "T")]),
        ([og("og:image", "/o.jpg"), og("og:description", " D\n"), og("og:title", " \t")], [("o.jpg", " D\n")]),
        ([og("og:image", "/o.jpg"), og("og:title", None), og("og:title", 'say "meow" \\ 猫')], [("o.jpg", 'say "meow" \\ 猫')]),
        ([og("og:title", "T"), {"name": "x", "property": "og:image", "content": "/o.jpg"}], [("o.jpg", "T")]),
        ([og("og:title", "T"), og("twitter:image", "/o.jpg"), og("image", "/o.jpg")], []),
    ],
)
def test_an_og_image_has_the_page_s_og_title_or_else_its_og_description_as_text(extracted_with, metas, found):
    result = extracted_with([], metas, og_image=True)
    assert result.found == [("og:image", *pair) for pair in found]
    assert result.counts["rows_in"] == len(found)
    assert drops(result) == {}


def test_an_og_image_without_a_text_or_with_no_usable_url_is_counted_as_an_image_is(extracted_with):
    title = og("og:title", "T")
    assert drops(extracted_with([], [og("og:image", "/o.jpg"), og("og:title", " ")], og_image=True)) == {"dropped_no_alt": 1}
    odd = [og("og:image", url) for url in ("", None, "data:,x", "https://a..b/", " /o.jpg", "ftp://f.example/o.jpg")]
    result = extracted_with([], [title, *odd], og_image=True)
    assert result.found == [("og:image", "o.jpg", "T")]
    assert result.counts["rows_in"] == 5  # a content that is no text is a blank one, which was there before
    assert drops(result) == {
        "dropped_blank_src": 1,
        "dropped_data_url": 1,
        "dropped_invalid_host": 1,
        "dropped_other_scheme": 1,
        "mended_stripped_src": 1,
    }


@pytest.mark.parametrize(
    "url",
    [
        *("a.jpg", "a.JPG", "a.jpeg", "a.png", "a.gif", "a.webp", "a.bmp", "a.tif", "a.tiff", "a.avif"),
        *("a.jpg?x=1", "a.jpg#x", "a.jpg?b.html#c.html", "a.b.jpg", "ä 猫.jpg", "x" * 70 + ".png"),
    ],
)
def test_a_link_to_an_image_has_its_own_text(extracted_with, url):
    result = extracted_with([a(f"https://cdn.example/{url}", " A cat\n"), a(f"/{url}", "B", rel="nofollow")], image_links=True)
    assert [row["url"] for row in result.rows] == [f"https://cdn.example/{url}", f"https://page.example/{url}"]
    assert [row["text"] for row in result.rows] == [" A cat\n", "B"]
    assert drops(result) == {}


@pytest.mark.parametrize(
    "url",
    [
        *(
            "a.html",
            "a.svg",
            "a.jpg.html",
            "a.jpg/",
            "?a.jpg",
            "a.html#b.jpg",
            "a.html?b.jpg",
            "https://host.jpg",
            "jpg",
            "a.jpgx",
        ),
        *("//host.png", "https://host.png?x", "", None, 7, ["a.jpg"]),
    ],
)
def test_a_link_to_anything_else_is_none(extracted_with, url):
    result = extracted_with(
        [a(url), {**a("b.jpg"), "path": "LINK@/href"}, {"path": "AREA@/href", "url": "c.jpg"}], image_links=True
    )
    assert result.rows == []
    assert result.counts["rows_in"] == 0


def test_a_link_to_an_image_without_text_or_usable_url_is_counted_as_an_image_is(extracted_with):
    links = [a("a.jpg", ""), a("a.jpg", None), {"path": "A@/href", "url": "a.jpg", "title": "t"}]
    links += [a("https://[/a.jpg"), a("javascript:a.jpg"), a("\u3000b.jpg ")]
    result = extracted_with(links, image_links=True)
    assert result.found == [("a", "dir/b.jpg", "a cat")]
    assert result.counts["rows_in"] == 6
    assert drops(result) == {
        "dropped_no_alt": 3,
        "dropped_invalid_host": 1,
        "dropped_javascript_url": 1,
        "mended_stripped_src": 1,
    }


def test_a_link_to_an_image_that_is_the_licence_too_is_both(extracted_with):
    result = extracted_with([a("/by.jpg", "CC BY", rel="license")], image_links=True)
    assert [(row["url"], row["license_url"]) for row in result.rows] == [("https://page.example/by.jpg",) * 2]


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"title": "own", "alt": "alt"}, "own"),
        ({"title": "", "alt": "alt"}, "alt"),
        ({"title": 7}, "T"),
        ({"text": "inside"}, "T"),
        ({}, "T"),
    ],
)
def test_a_poster_has_its_own_title_or_alt_as_text_or_else_the_page_s(extracted_with, more, text):
    result = extracted_with([poster("/p", **more)], [og("og:title", "T"), og("og:image", "/o.jpg")], video_posters=True)
    assert result.found == [("video", "p", text)]


def test_a_poster_without_text_or_url_is_counted_as_an_image_is(extracted_with):
    result = extracted_with([poster("/p"), poster("", title="t"), poster(None, title="t")], video_posters=True)
    assert result.rows == []
    assert drops(result) == {"dropped_no_alt": 1, "dropped_blank_src": 2}


def test_the_text_of_a_page_goes_to_a_bounded_number_of_its_images(extracted_with):
    metas = [og("og:title", "T"), *(og("og:image", f"/{n}.jpg") for n in range(MOST_SHARING + 5))]
    result = extracted_with([poster("/own.jpg", title="own"), poster("/p.jpg")], metas, **ALL)
    assert len(result.rows) == MOST_SHARING + 1
    assert result.found[-1] == ("video", "own.jpg", "own")
    assert drops(result) == {"dropped_no_alt": 6}


def test_a_page_with_other_images_alone_counts_as_one_with_images(extracted_with):
    assert extracted_with([a("a.jpg")], image_links=True).counts["pages_with_images"] == 1
    for options in ({}, {"og_image": True}):
        result = extracted_with([a("a.jpg"), a("/ä")], [og("og:title", "T")], **options)
        assert result.counts.get("pages_with_images", 0) == 0


def test_a_pair_that_stands_in_two_sources_is_kept_once_as_the_first(make, extracted_with):
    links = [a("/o.jpg", "T"), make.image("/o.jpg", "T"), poster("/o.jpg")]
    result = extracted_with(links, [og("og:image", "/o.jpg"), og("og:title", "T")], **ALL)
    assert result.found == [("img", "o.jpg", "T")]
    assert result.counts["dropped_duplicate_in_wat"] == 3


def test_what_a_page_says_of_its_use_is_said_of_every_source(extracted_with):
    result = extracted_with(*PAGE, headers={"X-Robots-Tag": "noai"}, **ALL)
    assert [row["robots"] for row in result.rows] == [["noai"]] * 4


def test_rows_of_many_pages_stand_in_the_order_of_the_wat(make, extracted):
    pages = []
    for n in range(300):
        links = [a(f"/a{n}.jpg"), make.image(f"/i{n}.jpg"), a(f"/x{n}.html")] if n % 3 else [a(f"/x{n}.html")]
        pages.append(make.page(links, head={"Metas": [og("og:title", "T"), og("og:image", f"/o{n}.jpg")]}))
        if n % 7 == 0:
            pages[-1]["Envelope"]["Payload-Metadata"]["WARC-Info-Metadata"] = {}  # Python reads it
    result = extracted(b"".join(make.member(make.record(page)) for page in pages), **ALL)
    expected = [f"{kind}{n}.jpg" for n in range(300) for kind in ("ioa" if n % 3 else "o")]
    assert [row["url"].rpartition("/")[2] for row in result.rows] == expected
    assert result.counts["pages_with_images"] == 300


@pytest.mark.parametrize(
    "smallest",
    [
        '{"rel":"\\n"}',
        '{"name":" "}',
        '{"name":"\\n"}',
        '{"name":"og:title"}',
        '{"path":"A@/href","url":".gif"}',
        '{"path":"A@/href","url":".gif","rel":"\\n"}',
        '{"path":"VIDEO@/poster"}',
        '{"path":"IMG@/src"}',
    ],
)
@pytest.mark.parametrize("wanted", [None, OG_IMAGE | IMAGE_LINK | VIDEO_POSTER])
def test_there_is_room_for_whatever_the_smallest_pieces_make_of_a_buffer(make, smallest, wanted):
    """The scanner checks no bounds: its arrays must have room for as many notes and links as a buffer may hold."""
    page = make.page([make.image("before.jpg"), "LINKS"], head={"Metas": ["METAS"]})
    place = '"METAS"' if "name" in smallest else '"LINKS"'
    batch = Batch()
    times = (batch.room - 1200) // (len(smallest) + 1)
    block = json.dumps(page, separators=(",", ":")).replace(place, ",".join([smallest] * times))
    batch.add(Record(0, b"metadata", b"https://page.example/", block.encode()))
    ends, tally = np.zeros(3, np.int64), np.zeros(4, np.int64)
    # Arrays of more than enough room, so that the test itself writes nowhere else.
    links, notes = (np.zeros((batch.room // 4, columns), np.int64) for columns in (LINK_COLUMNS, NOTE_COLUMNS))
    assert read_pages(batch.buffer, batch.records, 0, 1, wanted, batch.pages, links, notes, ends, tally) == 1
    noted = int(ends[N_LINKS] + ends[N_NOTES])
    assert noted >= times if wanted or "rel" in smallest or "IMG" in smallest else noted >= 1
    assert ends[N_LINKS] <= len(batch.links)
    assert ends[N_NOTES] <= len(batch.notes)
