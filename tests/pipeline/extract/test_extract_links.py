"""Links as they stand in hand-written WATs → rows, or drops counted by name; whatever order and form the JSON has."""

import gzip
import json

import pytest

# page.example/dir/page.html holds the image; see conftest.PAGE_URL.
USABLE = [
    ("https://cdn.example/a.jpg", "https://cdn.example/a.jpg"),
    ("http://cdn.example:8080/a%20b.jpg?x=1&amp;y=2#f", "http://cdn.example:8080/a%20b.jpg?x=1&amp;y=2#f"),
    ("//cdn.example/a.jpg", "https://cdn.example/a.jpg"),
    ("/a.jpg", "https://page.example/a.jpg"),
    ("/a/../b//c/./d.jpg?q=/../#", "https://page.example/b//c/d.jpg?q=/../"),
    ("a.jpg", "https://page.example/dir/a.jpg"),
    ("./a.jpg", "https://page.example/dir/a.jpg"),
    ("../../../a.jpg", "https://page.example/a.jpg"),
    ("?a=1", "https://page.example/dir/page.html?a=1"),
    ("#a", "https://page.example/dir/page.html#a"),
    ("with space.jpg", "https://page.example/dir/with space.jpg"),
    ("ä/猫.jpg", "https://page.example/dir/ä/猫.jpg"),
    ("https://bücher.example/ä.jpg", "https://bücher.example/ä.jpg"),
    ("https://xn--bcher-kva.example/%C3%A4.jpg", "https://xn--bcher-kva.example/%C3%A4.jpg"),
    ("https://CDN.Example/A.JPG", "https://CDN.Example/A.JPG"),
    ("https://user:pass@cdn.example/a.jpg", "https://user:pass@cdn.example/a.jpg"),
    ("https://127.0.0.1:81/a.jpg", "https://127.0.0.1:81/a.jpg"),
    ("https://[::1]:81/a.jpg", "https://[::1]:81/a.jpg"),
    ("https://cdn.example/a\\b.jpg", "https://cdn.example/a\\b.jpg"),
    ("https://cdn.example/a\tb.jpg", "https://cdn.example/a\tb.jpg"),
    ("/a\tb\n.jpg", "https://page.example/ab.jpg"),
    ("https://cdn.example", "https://cdn.example"),
    ("dir/b:c.jpg", "https://page.example/dir/dir/b:c.jpg"),
    ("1:b.jpg", "https://page.example/dir/1:b.jpg"),
    ('/"quoted".jpg', 'https://page.example/"quoted".jpg'),
]


@pytest.mark.parametrize(("src", "url"), USABLE)
def test_a_src_is_resolved_against_its_page(make, extracted_page, src, url):
    result = extracted_page([make.image(src)])
    assert [row["url"] for row in result.rows] == [url]
    assert {name for name, count in result.counts.items() if count and name.startswith(("dropped_", "mended_"))} == set()


@pytest.mark.parametrize(
    ("src", "url", "mended"),
    [
        (" https://cdn.example/a.jpg\r\n", "https://cdn.example/a.jpg", "stripped_src"),
        ("\u3000a.jpg\xa0", "https://page.example/dir/a.jpg", "stripped_src"),
        ("HTTPS://cdn.example/a.jpg", "https://cdn.example/a.jpg", "upper_case_scheme"),
        ("Http://CDN.example/A.jpg", "http://CDN.example/A.jpg", "upper_case_scheme"),
    ],
)
def test_a_src_that_is_mended_is_counted_by_name(make, extracted_page, src, url, mended):
    result = extracted_page([make.image(src)])
    assert [row["url"] for row in result.rows] == [url]
    assert result.counts[f"mended_{mended}"] == 1


@pytest.mark.parametrize(
    ("src", "reason"),
    [
        ("", "blank_src"),
        (" \t\xa0\u2003", "blank_src"),
        (None, "blank_src"),
        ("data:image/gif;base64,R0lGODlhAQABAAAAACw=", "data_url"),
        ("DATA:,x", "data_url"),
        ("javascript:void(0)", "javascript_url"),
        ("JavaScript:x", "javascript_url"),
        ("blob:https://page.example/1", "other_scheme"),
        ("file:///a.jpg", "other_scheme"),
        ("https://", "invalid_host"),
        ("https:///a.jpg", "invalid_host"),
        ("https://a..example/a.jpg", "invalid_host"),
        ("https://sp ace.example/a.jpg", "invalid_host"),
        ("https://[zz]/a.jpg", "invalid_host"),
        ("//[zz/a.jpg", "invalid_host"),
        ("https://300.1.1.1/a.jpg", "invalid_host"),
        ("https://" + "a" * 64 + ".example/a.jpg", "invalid_host"),
        ("https://cdn.example:65536/a.jpg", "invalid_port"),
        ("//cdn.example:x/a.jpg", "invalid_port"),
    ],
)
def test_a_src_that_names_no_image_on_the_web_is_dropped_and_counted_by_reason(make, extracted_page, src, reason):
    result = extracted_page([make.image(src), make.image("sound.jpg")])
    assert [row["url"] for row in result.rows] == ["https://page.example/dir/sound.jpg"]
    dropped = {name: count for name, count in result.counts.items() if count and name.startswith("dropped_")}
    assert dropped == {f"dropped_{reason}": 1}


TEXTS = [
    *(" ", "\t\n", "\u3000"),  # blank: kept here, pool drops them by name
    *("tom &amp; jerry &#39;90s &nbsp;", "<b>bold</b></script>", "a\u0000b\u0001\u001f\u007f\u0085"),
    *("\u2028\u2029\ufeff", "a\r\n\r\nWARC/1.0"),
    *('say "meow"', "back\\slash", "\\u0041", '{"path":"IMG@/src","url":"/no.jpg","alt":"no"}', "}]}"),
    *("猫", "😀\U0010ffff", "x" * 200_000),
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
@pytest.mark.parametrize("ascii_only", [True, False])
def test_an_alt_is_kept_to_the_letter_however_it_is_escaped(make, extracted, text, ascii_only):
    page = make.page([make.image("a.jpg", text), make.image("b.jpg", "next")])
    block = json.dumps(page, ensure_ascii=ascii_only, separators=(",", ":"))
    written = [block, block.replace("</", "<\\/"), json.dumps(page, ensure_ascii=ascii_only, indent=1)]
    for form in written:
        assert [row["text"] for row in extracted(make.member(make.record(form.encode()))).rows] == [text, "next"]


def reversed_keys(value):
    if isinstance(value, dict):
        return {key: reversed_keys(value[key]) for key in reversed(value)}
    return [reversed_keys(item) for item in value] if isinstance(value, list) else value


def test_rows_are_the_same_whatever_order_the_keys_have(make, extracted):
    head = {
        "Metas": [{"name": "robots", "content": "noai"}, {"name": "HTML@/lang", "content": "fr"}],
        "Link": [{"path": "LINK@/href", "url": "/licence", "rel": "license"}],
        "Base": "/base/",
    }
    links = [{"path": "A@/href", "url": "/other", "rel": "license"}, make.image("a.jpg", title="t"), make.image("b.jpg")]
    page = make.page(links, headers={"X-Robots-Tag": "noindex"}, head=head)
    payload = page["Envelope"]["Payload-Metadata"]
    older = {"Envelope": {"Format": "WARC/1.0", **page["Envelope"]}, "Container": page["Container"]}
    payload["HTTP-Response-Metadata"]["HTML-Metadata"]["Links"].append({"path": "FORM@/action", "url": "/f"})
    rows = [extracted(make.member(make.record(order))).rows for order in (page, reversed_keys(page), older)]
    first = [{**row, "wat_path": None} for row in rows[0]]
    assert [row["url"] for row in first] == ["https://page.example/base/a.jpg", "https://page.example/base/b.jpg"]
    assert {row["license_url"] for row in first} == {"https://page.example/licence"}
    assert {tuple(row["robots"]) for row in first} == {("noai", "noindex")}
    for other in rows[1:]:
        assert [{**row, "wat_path": None} for row in other] == first


def test_of_a_key_that_stands_twice_the_last_counts(make, extracted):
    block = json.dumps(make.page([make.image("a.jpg", "first")])).replace('"alt": "first"', '"alt": "first", "alt": "last"')
    assert [row["text"] for row in extracted(make.member(make.record(block.encode()))).rows] == ["last"]


@pytest.mark.parametrize(
    ("src", "text"), [("a.jpg", "x"), ('/d/"q".jpg', 'say "meow" \\'), ("ä\n.jpg", "\t"), ("/d/\\b.jpg", "😀")]
)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_an_image_that_is_a_licence_too_is_both(make, extracted, src, text, ascii_only):
    page = make.page([make.image("before.jpg"), make.image(src, text, rel="license"), make.image("after.jpg")])
    block = json.dumps(page, ensure_ascii=ascii_only).replace("/d/", "\\/d\\/")
    rows = extracted(make.member(make.record(block.encode()))).rows
    assert [row["text"] for row in rows] == ["a cat", text, "a cat"]
    assert {row["license_url"] for row in rows} == {rows[1]["url"]}


def test_only_links_of_img_src_are_images(make, extracted_page):
    paths = ["A@/href", "VIDEO@/poster", "IMG@/longdesc", "INPUT@/src", "SCRIPT@/src", "img@/src", "IMG@/src "]
    links = [{"path": path, "url": "/x.jpg", "alt": "x", "text": "IMG@/src"} for path in paths]
    result = extracted_page([*links, make.image("a.jpg")])
    assert [row["url"] for row in result.rows] == ["https://page.example/dir/a.jpg"]
    assert result.counts["rows_in"] == 1


@pytest.mark.parametrize(
    "space", ["Envelope", "WARC-Header-Metadata", "Payload-Metadata", "HTTP-Response-Metadata", "HTML-Metadata"]
)
def test_a_page_that_lacks_a_part_costs_its_rows_or_its_date_and_no_other_page(make, extracted, space):
    def without(value):
        return {key: without(item) for key, item in value.items() if key != space} if isinstance(value, dict) else value

    good = make.page([make.image("good.jpg")])
    lacking = make.record(without(make.page([make.image("lacking.jpg")])), target="https://record.example/")
    result = extracted(b"".join(map(make.member, [make.record(good), lacking, make.record(make.page([make.image("last.jpg")]))])))
    urls = [row["url"] for row in result.rows]
    expected = ["https://page.example/dir/good.jpg", "https://page.example/dir/last.jpg"]
    if space == "WARC-Header-Metadata":  # the record itself says where it is from
        expected.insert(1, "https://record.example/lacking.jpg")
        assert result.rows[1]["fetched_at"] is None
    assert urls == expected
    assert result.report.status == "ok"


def test_damage_in_the_middle_of_a_wat_costs_the_rows_of_its_member_alone(make, extracted):
    members = [make.member(make.record(make.page([make.image(f"{n}.jpg", f"alt {n}")]))) for n in range(5)]
    hurt = bytearray(members[2])
    hurt[len(hurt) // 2] ^= 0xFF
    result = extracted(b"".join([*members[:2], bytes(hurt), *members[3:]]))
    assert [row["text"] for row in result.rows] == ["alt 0", "alt 1", "alt 3", "alt 4"]
    assert [row["record_offset"] for row in result.rows] == [sum(map(len, members[:n])) for n in (0, 1, 3, 4)]
    assert (result.report.status, result.counts["damaged_members"]) == ("partial", 1)


def test_a_wat_cut_in_its_last_member_is_partial_and_keeps_the_rows_before(make, extracted):
    members = [make.member(make.record(make.page([make.image(f"{n}.jpg")]))) for n in range(3)]
    result = extracted(b"".join(members)[:-30])
    assert len(result.rows) == 2
    assert (result.report.status, result.report.error) == ("partial", "truncated: the file ends inside a gzip member")


def test_a_member_of_many_records_that_is_cut_keeps_the_rows_of_the_whole_ones(make, extracted):
    records = [make.record(make.page([make.image(f"{n}.jpg", f"alt {n}" * 50)])) for n in range(200)]
    whole = gzip.compress(b"".join(records), mtime=0)
    result = extracted(whole[: len(whole) // 2])
    assert 50 < len(result.rows) < 150
    assert [row["url"] for row in result.rows] == [f"https://page.example/dir/{n}.jpg" for n in range(len(result.rows))]
    assert result.report.status == "partial"
