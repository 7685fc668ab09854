"""Which URLs are valid, and which are the same."""

import string

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.addresses import _rewritten, domain_of, host_of, normalise, public_suffix


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://example.org/a.jpg", "example.org"),
        ("HTTP://Example.ORG:8080/a b.jpg", "example.org"),
        ("https://müller.de/ü.png", "xn--mller-kva.de"),
        ("https://xn--mller-kva.de/", "xn--mller-kva.de"),
        ("http://93.184.216.34/a.gif", "93.184.216.34"),
        ("http://[2001:DB8::1]:80/a", "[2001:db8::1]"),
        ("http://localhost:8000/a", "localhost"),
        ("http://user@a_b.example.org./x", "a_b.example.org"),
        ("  https://exam\nple.org/\t ", "example.org"),
    ],
)
def test_a_valid_url_has_a_host(url, host):
    assert host_of(url) == host


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a.jpg",
        "//example.org/a.jpg",
        "ftp://example.org/a.jpg",
        "file:///etc/passwd",
        "data:image/png;base64,AAAA",
        "javascript:alert(1)",
        "http://",
        "http:///a.jpg",
        "http://images/a.jpg",
        "http://exa mple.org/",
        "http://a..b/",
        f"http://{'a' * 64}.org/",
        f"http://{'a.' * 130}org/",
        "http://256.1.1.1/",
        "http://1.2.3.4.5/",
        "http://0x7g.1/",
        "http://[::1/",
        "http://[gg::]/",
        "http://example.org:0/",
        "http://example.org:65536/",
        "http://example.org:port/",
        "http://example.org/a\x00.jpg",
        "http://ex℀mple.org/",
    ],
)
def test_an_invalid_url_has_none(url):
    assert host_of(url) is None
    assert normalise(url) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://example.org", "https://EXAMPLE.org/"),
        ("https://example.org:443/a", "https://example.org/a#part"),
        ("http://example.org/%7euser/%c3%a9", "http://example.org/~user/é"),
        ("http://example.org/a/../b/./c.jpg", "http://example.org/b/c.jpg"),
        ("http://example.org/a b.jpg", "http://example.org/a%20b.jpg"),
        ("http://müller.de/", "http://xn--mller-kva.de/"),
    ],
)
def test_spellings_of_one_address_are_equal(one, other):
    assert normalise(one) == normalise(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://example.org/a", "http://example.org/A"),
        ("http://example.org/a?x=1", "http://example.org/a?x=2"),
        ("http://example.org/a%2Fb", "http://example.org/a/b"),
        ("http://example.org:81/a", "http://example.org/a"),
        ("http://www.example.org/", "http://example.org/"),
    ],
)
def test_different_addresses_stay_different(one, other):
    assert normalise(one) != normalise(other)


@given(st.text())
def test_no_text_makes_the_judge_of_urls_fail(text):
    for url in (text, f"http://{text}", f"https://example.org/{text}"):
        assert (host_of(url) is None) == (normalise(url) is None)


@given(st.text(alphabet=string.ascii_letters + string.digits + "/%.?é ~", max_size=30))
def test_normalising_twice_changes_nothing_more(path):
    once = normalise(f"http://example.org/{path}")
    assert once is not None
    assert normalise(f"http://{once}") == once


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("images.shop.example.co.uk", "example.co.uk"),
        ("example.org", "example.org"),
        ("93.184.216.34", "93.184.216.34"),
        ("localhost", "localhost"),
        ("co.uk", "co.uk"),
    ],
)
def test_the_domain_is_the_registrable_one_or_the_host(host, domain):
    assert domain_of(host) == domain


@given(
    st.sampled_from(["http", "https"]),
    st.lists(
        st.sampled_from(["a", "b-c", "_d", "xn--mller-kva", "9", "E", "-f", "g-", "i" * 63, "j" * 64]), min_size=1, max_size=6
    ),
    st.text(alphabet="ab./?:@;=&%~*'()!$,+-_# é\\|", max_size=20),
)
def test_a_plain_url_is_read_in_the_short_way_as_in_the_long_one(scheme, labels, rest):
    url = f"{scheme}://{'.'.join(labels)}{rest and '/' + rest}"
    assert normalise(url) == _rewritten(url)
    assert (host_of(url) is None) == (_rewritten(url) is None)
    if normalise(url) is not None:
        assert normalise(url).startswith(host_of(url))


def test_real_urls_are_read_in_the_short_way_as_in_the_long_one(shared_data):
    urls = set(pq.read_table(shared_data / "wat/bench_base.warc.golden.parquet", columns=["url"])["url"].to_pylist())
    assert len(urls) > 1000
    assert [url for url in urls if normalise(url) != _rewritten(url)] == []


@pytest.mark.parametrize(
    ("host", "section"),
    [
        ("com", "icann"),
        ("co.uk", "icann"),
        ("xn--p1ai", "icann"),
        ("any.ck", "icann"),
        ("www.ck", None),
        ("b.kawasaki.jp", "icann"),
        ("city.kawasaki.jp", None),
        ("github.io", "private"),
        ("s3.amazonaws.com", "private"),
        ("example.co.uk", None),
        ("somebody.github.io", None),
        ("93.184.216.34", None),
        ("localhost", None),
    ],
)
def test_a_public_suffix_is_known_with_its_section(host, section):
    assert public_suffix(host) == section
