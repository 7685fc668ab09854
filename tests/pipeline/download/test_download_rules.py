"""The small rules: which addresses are public and how a URL is requested."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.download.fetching.address import is_public
from pipeline.download.fetching.url import joined, target_of


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "2002:0101:0101::1", "64:ff9b::1.1.1.1"])
def test_public_addresses_are_public(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.5.4", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
        *("224.0.0.1", "240.0.0.1", "255.255.255.255", "198.18.0.1", "192.0.2.1"),
        *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1"),
        *("fec0::1", "64:ff9b:1::7f00:1", "::127.0.0.1", "100::1", "4000::1", "2001::1", "2002:a9fe:a9fe::1"),
        *("2002:7f00:0001::1", "64:ff9b::127.0.0.1", "2001:db8::1", "fd00:ec2::254", "", "example.com", "0x7f.1"),
    ],
)
def test_special_addresses_are_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize(
    ("url", "requested"),
    [
        (" http://A.example/a b\n.jpg#part ", "http://a.example/a%20b.jpg"),
        ("https://a.example/ü.jpg?q=é&r=%20", "https://a.example/%C3%BC.jpg?q=%C3%A9&r=%20"),
        ("HTTP://bücher.example:8080", "http://xn--bcher-kva.example:8080/"),
        ("http://[::1]:80/a", "http://[::1]/a"),
        ("http://user:word@a.example/", "http://a.example/"),
        ("http://a.example:80/b", "http://a.example/b"),
        ("https://a.example:80/b", "https://a.example:80/b"),
        ("http://a.example/b/../c/./d/..", "http://a.example/c/"),
        ("http://a.example/../../b/%2E%2e/c?d/../e", "http://a.example/c?d/../e"),
        ("http:\\\\a.example\\b\\c?d\\e", "http://a.example/b/c?d%5Ce"),
        ("http://a.example/.b/..c/d...", "http://a.example/.b/..c/d..."),
        ("http://a.example/100%.jpg", "http://a.example/100%.jpg"),
        ("http://a.example/" + "a" * 65_520, None),
        ("http://a.example:50080/b", "http://a.example:50080/b"),
        ("http://a.example:65535/b", "http://a.example:65535/b"),
        ("http://a.example:65536/b", None),
        ("http://a.example:99999/", None),
        ("http:///a", None),
        ("http://a b/", None),
    ],
)
def test_a_url_is_requested_as_a_browser_would(url, requested):
    target = target_of(url)
    assert (target and target.url) == requested


@given(st.text(alphabet="/.%2eEab?#\\", max_size=30))
def test_what_is_requested_is_requested_the_same_way_again(text):
    target = target_of("http://a.example/" + text)
    assert target is not None
    assert target_of(target.url) == target
    path = target.url.removeprefix("http://a.example").split("?")[0].lower().replace("%2e", ".")
    assert not {".", ".."} & set(path.split("/"))


@given(st.text(), st.text())
def test_a_redirect_leads_to_text_whatever_it_says(one, other):
    assert isinstance(joined(f"http://a.example/{one}", other), str)


@given(st.text())
def test_any_text_is_an_ascii_url_or_none(text):
    target = target_of("http://" + text)
    assert target is None or (target.url.isascii() and target.url.isprintable() and " " not in target.url)
