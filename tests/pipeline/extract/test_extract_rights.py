"""What pages say of their use reaches the columns that policy is made from."""

import pytest

from pipeline.optout import refusals


def rights(result):
    (row,) = result.rows
    return {name: row[name] for name in ("html_lang", "content_language", "license_url", "robots", "tdm_reserved")}


def test_a_silent_page_has_nulls_and_no_directives(make, extracted_page):
    said = rights(extracted_page([make.image("a.jpg")]))
    assert said == {"html_lang": None, "content_language": None, "license_url": None, "robots": [], "tdm_reserved": None}


@pytest.mark.parametrize("key", ["X-Robots-Tag", "x-robots-tag", "X-ROBOTS-TAG"])
def test_x_robots_tag_is_read_in_any_case_and_when_repeated(make, extracted_page, key):
    said = rights(extracted_page([make.image("a.jpg")], headers={key: ["noai", "otherbot: noindex", "NOIMAGEAI"]}))
    assert said["robots"] == ["noai", "noimageai", "otherbot:noindex"]


def test_header_and_meta_directives_are_joined_and_sorted(make, extracted_page):
    metas = [{"name": "Robots", "content": "noindex"}, {"name": "robots", "content": None}, {"name": "ccbot", "content": "noai"}]
    said = rights(extracted_page([make.image("a.jpg")], headers={"X-Robots-Tag": "noai"}, head={"Metas": metas}))
    assert said["robots"] == ["ccbot:noai", "noai", "noindex"]


@pytest.mark.parametrize(
    ("header", "meta", "reserved"),
    [("1", None, True), (None, "1", True), ("0", None, False), ("0", "1", True), ("yes", None, None), (1, None, True)],
)
def test_tdm_reservation_is_read_from_header_and_meta(make, extracted_page, header, meta, reserved):
    headers = {} if header is None else {"TDM-Reservation": header}
    metas = [] if meta is None else [{"name": "TDM-reservation", "content": meta}]
    assert rights(extracted_page([make.image("a.jpg")], headers=headers, head={"Metas": metas}))["tdm_reserved"] is reserved


@pytest.mark.parametrize(
    ("head_link", "link", "target"),
    [
        ({"rel": "license", "url": "/l"}, {"rel": "license", "url": "/other"}, "https://page.example/l"),
        ({"rel": "stylesheet", "url": "/s.css"}, {"rel": "External LICENSE", "url": "l"}, "https://page.example/dir/l"),
        ({"rel": "license"}, {"rel": "license", "url": "https://l.example/ "}, "https://l.example/"),
        ({"rel": "license", "url": "mailto:me@x.example"}, {"rel": "nolicense", "url": "/x"}, None),
        ({"rel": "license", "url": "//[bad"}, {"rel": ["license"], "url": "/x"}, None),
    ],
)
def test_the_license_is_the_first_link_that_claims_to_be_one(make, extracted_page, head_link, link, target):
    links = [make.image("a.jpg"), {"path": "A@/href", **link}]
    said = rights(extracted_page(links, head={"Link": [{"path": "LINK@/href", **head_link}]}))
    assert said["license_url"] == target


@pytest.mark.parametrize(
    ("headers", "content", "language"),
    [
        ({"content-LANGUAGE": "fr"}, "de", "fr"),
        ({}, " de ", "de"),
        ({"Content-Language": ["", "en"]}, None, "en"),
        ({}, " ", None),
    ],
)
def test_content_language_is_the_header_s_or_the_meta_s(make, extracted_page, headers, content, language):
    metas = [{"http-equiv": "Content-Language", "content": content}]
    assert rights(extracted_page([make.image("a.jpg")], headers=headers, head={"Metas": metas}))["content_language"] == language


def test_heads_of_any_shape_are_survived(make, extracted_page):
    for head in ({"Metas": "x", "Link": 5}, {"Metas": [None, {"name": 5, "content": []}], "Link": [3], "Base": []}):
        assert rights(extracted_page([make.image("a.jpg")], head=head, headers={"X-Robots-Tag": {"a": 1}}))["html_lang"] is None


@pytest.mark.parametrize("value", [None, True, {"a": 1}, [["noai"]], [None]])
def test_a_header_that_is_neither_text_nor_number_says_nothing(make, extracted_page, value):
    headers = {"X-Robots-Tag": value, "Content-Language": value, "tdm-reservation": value}
    said = rights(extracted_page([make.image("a.jpg")], headers=headers))
    assert (said["robots"], said["content_language"], said["tdm_reserved"]) == ([], None, None)


@pytest.mark.parametrize(
    ("tag", "robots", "refused"),
    [
        ("googlebot: noindex, noai", ["googlebot:noai", "googlebot:noindex"], False),
        ("*: noai", ["noai"], True),
        ("robots: noindex", ["noindex"], True),
        ("CCBot: noai", ["ccbot:noai"], True),
        ("googlebot: noindex, ccbot: none", ["ccbot:nofollow", "ccbot:noindex", "ccbot:none", "googlebot:noindex"], True),
        ("noai, googlebot: nofollow", ["googlebot:nofollow", "noai"], True),
        ("nofollow, noarchive, max-snippet:-1", ["max-snippet:-1", "noarchive", "nofollow"], False),
    ],
)
def test_what_one_user_agent_is_told_is_kept_with_its_name_and_refuses_only_collectors(
    make, extracted_page, tag, robots, refused
):
    for said in ({"headers": {"x-robots-TAG": tag}}, {"head": {"Metas": [{"name": "robots", "content": tag}]}}):
        found = rights(extracted_page([make.image("a.jpg")], **said))["robots"]
        assert found == robots
        assert bool(refusals() & set(found)) == refused
