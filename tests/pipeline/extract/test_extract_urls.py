"""src + page → URL: urllib's join, with the documented differences, each under its name."""

import string
from urllib.parse import urljoin

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.extract.urls import UnusableError, base_of, resolve

BASE = "https://page.example/dir/page.html?q=1"


@pytest.mark.parametrize(
    ("src", "url"),
    [
        ("https://cdn.example/a.jpg", "https://cdn.example/a.jpg"),
        ("//cdn.example/a.jpg", "https://cdn.example/a.jpg"),
        ("/a.jpg", "https://page.example/a.jpg"),
        ("a.jpg", "https://page.example/dir/a.jpg"),
        ("../b/./a.jpg", "https://page.example/b/a.jpg"),
        ("?x=1", "https://page.example/dir/page.html?x=1"),
        ("with space.jpg", "https://page.example/dir/with space.jpg"),
        ("http://cdn.example:8080/a b.jpg#part", "http://cdn.example:8080/a b.jpg#part"),
        ("https:a.jpg", "https://page.example/dir/a.jpg"),
        ("http://127.0.0.1:9000/a.jpg", "http://127.0.0.1:9000/a.jpg"),
        ("http://[::1]:80/a.jpg", "http://[::1]:80/a.jpg"),
        ("http://under_score.example/a.jpg", "http://under_score.example/a.jpg"),
        ("http://localhost/a.jpg", "http://localhost/a.jpg"),
        ("http://bücher.example/ä.jpg", "http://bücher.example/ä.jpg"),
        ("http://user:secret@cdn.example/a.jpg", "http://user:secret@cdn.example/a.jpg"),
        ("http://cdn.example./a.jpg", "http://cdn.example./a.jpg"),
        ("http://0x7f.1/a.jpg", "http://0x7f.1/a.jpg"),
        ("http://cdn.example:0080/a.jpg", "http://cdn.example:0080/a.jpg"),
        ("http://cdn%2Eexample/a.jpg", "http://cdn%2Eexample/a.jpg"),
    ],
)
def test_a_usable_src_is_joined_to_the_page(src, url):
    assert resolve(src, BASE) == (url, ())


@pytest.mark.parametrize(
    ("src", "url", "mended"),
    [
        (" https://cdn.example/a.jpg\n", "https://cdn.example/a.jpg", ("stripped_src",)),
        ("a.jpg\t ", "https://page.example/dir/a.jpg", ("stripped_src",)),
        ("HTTP://cdn.example/A.jpg", "http://cdn.example/A.jpg", ("upper_case_scheme",)),
        ("HttpS://cdn.example/A.jpg", "https://cdn.example/A.jpg", ("upper_case_scheme",)),
        (" HTTPS://cdn.example/A.jpg", "https://cdn.example/A.jpg", ("stripped_src", "upper_case_scheme")),
    ],
)
def test_what_is_mended_is_named(src, url, mended):
    assert resolve(src, BASE) == (url, mended)


@pytest.mark.parametrize(
    ("src", "reason"),
    [
        ("", "blank_src"),
        (" \t\n", "blank_src"),
        ("data:image/gif;base64,R0lGOD", "data_url"),
        ("DATA:image/gif;base64,R0lGOD", "data_url"),
        ("javascript:void(0)", "javascript_url"),
        ("blob:https://page.example/1", "other_scheme"),
        ("ftp://page.example/a.jpg", "other_scheme"),
        ("//:0", "invalid_host"),
        ("http://", "invalid_host"),
        ("http:/a.jpg", "invalid_host"),
        ("https:///a.jpg", "invalid_host"),
        ("http://a..example/a.jpg", "invalid_host"),
        ("http://sp ace.example/a.jpg", "invalid_host"),
        ("http://%20/a.jpg", "invalid_host"),
        ("http://a%zz.example/a.jpg", "invalid_host"),
        ("http://<%=host%>/a.jpg", "invalid_host"),
        ("http://" + "a" * 64 + ".example/", "invalid_host"),
        ("http://" + "a." * 130 + "example/", "invalid_host"),
        ("http://300.1.1.1/a.jpg", "invalid_host"),
        ("http://1.2.3.4.5/a.jpg", "invalid_host"),
        ("http://09.1.1.1/a.jpg", "invalid_host"),
        ("http://[::zz]/a.jpg", "invalid_host"),
        ("//[broken/a.jpg", "invalid_host"),
        ("http://[::1/a.jpg", "invalid_host"),
        ("http://[::1:80/a.jpg", "invalid_host"),
        ("http://cdn.example:99999/a.jpg", "invalid_port"),
        ("http://cdn.example:port/a.jpg", "invalid_port"),
        ("http://cdn.example:" + "9" * 5000 + "/a.jpg", "invalid_port"),
    ],
)
def test_a_src_that_names_no_image_on_the_web_is_refused_by_reason(src, reason):
    with pytest.raises(UnusableError) as caught:
        resolve(src, BASE)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("href", "base"),
    [
        (None, BASE),
        (7, BASE),
        ("", BASE),
        ("/", "https://page.example/"),
        ("../up/", "https://page.example/up/"),
        ("http://other.example/x/", "http://other.example/x/"),
        ("//[broken", BASE),
    ],
)
def test_a_base_href_is_itself_relative_to_the_page(href, base):
    assert base_of(BASE, href) == base


PATH_TEXT = st.text(alphabet=string.ascii_letters + string.digits + "/._-~%?&=#:@ äé", max_size=30)


@given(path=PATH_TEXT.filter(lambda p: p and p.strip() == p and not p.startswith(("http://", "https://"))))
def test_a_relative_src_is_joined_as_urllib_joins(path):
    expected = urljoin(BASE, path)
    try:
        assert resolve(path, BASE).url == expected
    except UnusableError:
        assert not expected.startswith("https://page.example/")


@given(path=PATH_TEXT, scheme=st.sampled_from(["http://", "https://"]))
def test_an_absolute_src_is_kept_to_the_letter_but_for_space_around_it(path, scheme):
    src = f"{scheme}cdn.example/{path}"
    assert resolve(src, BASE).url == src.strip()


@given(
    src=st.one_of(st.text(max_size=60), st.text(max_size=80).map("http://{}/a.jpg".format)),
    base=st.one_of(st.just(BASE), st.text(max_size=30)),
)
def test_any_text_resolves_to_a_web_url_or_is_refused(src, base):
    try:
        url = resolve(src, base_of(BASE, base)).url
    except UnusableError as unusable:
        url = f"https://refused/{unusable.reason}"
    assert url.startswith(("http://", "https://"))
