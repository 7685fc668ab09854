"""pull from servers and networks that fail: what came is kept, what passes is waited for, what stays is told by name."""

import hashlib
import shutil
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.pull.fetching import fetch
from pipeline.pull.persisting import Patience
from pipeline.pull.web import Web
from schemas.errors import UserError
from tests.pipeline.pull.serving import (
    corrupt,
    cut,
    for_ever,
    other_range,
    reset,
    serving,
    silent,
    status,
    then_replaced_by,
    whole_always,
    without_length,
)
from tests.pipeline.release.making import make_release, row

NAME = "data/00000.parquet"


@pytest.fixture
def size(release):
    return (release / NAME).stat().st_size


@pytest.fixture
def whole(same_as, tmp_path):
    """Whether the copy equals the release."""
    return lambda: same_as(tmp_path / "copy")


@pytest.mark.parametrize("breaking", [cut, reset])
def test_a_broken_connection_is_taken_up_where_it_broke(breaking, pulled, server, whole, size):
    server.on(NAME, breaking(6000), breaking(3000))
    manifest = pulled()
    assert whole()
    assert manifest.counts["retries"] == 2
    # A reset throws away what the system had received and nobody had read.
    assert size <= server.bytes_sent(NAME) <= size + (9000 if breaking is reset else 0)
    later = server.requests(NAME)[1]
    assert later.headers["range"].startswith("bytes=")
    assert later.headers["if-range"].startswith('"')


def test_a_server_that_knows_no_ranges_sends_it_again_from_the_start(pulled, server, whole, size):
    server.ranges = False
    server.on(NAME, cut(6000))
    pulled()
    assert whole()
    assert server.bytes_sent(NAME) == size + 6000


@pytest.mark.parametrize("second", [whole_always, other_range, status(416)])
def test_a_range_that_is_not_what_was_asked_for_begins_anew(second, pulled, server, whole):
    server.on(NAME, cut(6000), second)
    pulled()
    assert whole()


@pytest.mark.parametrize("etags", [True, False])
def test_a_file_that_changes_in_between_is_never_mixed(etags, release, pulled, whole, tmp_path):
    shutil.copytree(release, tmp_path / "changing")
    right = (release / NAME).read_bytes()
    with serving(tmp_path / "changing") as server:
        server.etags = etags
        (server.root / NAME).write_bytes(bytes(len(right)))
        server.on(NAME, then_replaced_by(right, 6000))
        manifest = pulled(url=server.url)
    assert whole()
    assert manifest.failed_inputs == []


def test_a_body_without_a_length_is_judged_by_its_hash(pulled, server, whole):
    server.on(NAME, without_length)
    pulled()
    assert whole()


def test_damage_on_the_way_is_downloaded_once_more(pulled, server, whole, size):
    server.on(NAME, corrupt(77))
    pulled()
    assert whole()
    assert server.bytes_sent(NAME) == 2 * size
    assert server.requests(NAME)[1].headers["cache-control"] == "no-cache"


def test_a_damaged_source_is_told_with_both_hashes_and_the_copy_does_not_look_whole(pulled, server, release, tmp_path):
    server.on(NAME, for_ever(corrupt(77)))
    manifest = pulled()
    data = (release / NAME).read_bytes()
    wrong = hashlib.sha256(data[:77] + bytes([data[77] ^ 1]) + data[78:]).hexdigest()
    assert [(each.path, each.status) for each in manifest.failed_inputs] == [(NAME, "failed")]
    assert wrong in manifest.failed_inputs[0].error
    assert hashlib.sha256(data).hexdigest() in manifest.failed_inputs[0].error
    assert len(server.requests(NAME)) == 2
    copy = tmp_path / "copy"
    assert not (copy / "SHA256SUMS").exists()
    assert not (copy / "release.json").exists()
    assert not (copy / NAME).exists()
    assert (copy / "data" / "00001.parquet").exists(), "one file costs no other"


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again(code, pulled, server, whole):
    server.on("SHA256SUMS", status(code))
    server.on("release.json", status(code))
    server.on(NAME, status(code), status(code))
    assert pulled().counts["retries"] == 4
    assert whole()


def test_it_waits_as_long_as_the_server_asks(pulled, server):
    server.on(NAME, status(429, Retry_After="1"))
    started = time.monotonic()
    pulled()
    assert time.monotonic() - started >= 1


@pytest.mark.parametrize("code", [401, 403, 404, 410])
def test_a_file_that_is_not_there_is_told_at_once(code, pulled, server):
    server.on(NAME, for_ever(status(code)))
    manifest = pulled()
    assert [each.path for each in manifest.failed_inputs] == [NAME]
    assert f"HTTP {code}" in manifest.failed_inputs[0].error
    assert len(server.requests(NAME)) == 1


def test_a_server_that_stays_broken_is_given_up(pulled, server):
    server.on(NAME, for_ever(cut(0)))
    manifest = pulled(attempts=3)
    assert "after 3 tries; run the same command again to go on" in manifest.failed_inputs[0].error
    assert len(server.requests(NAME)) == 3


def test_a_server_that_dies_in_between_is_not_asked_for_every_file(pulled, tmp_path):
    many = make_release(tmp_path / "many", [row(number) for number in range(60)], file_rows=1)
    with serving(many) as server:
        for number in range(20, 60):
            server.on(f"data/{number:05d}.parquet", for_ever(status(503)))
        with pytest.raises(UserError, match="nothing came for 16 files in a row: HTTP 503, after 2 tries"):
            pulled(url=server.url, attempts=2, workers=1)
        assert len(server.asked) < 70
    assert not (tmp_path / "copy" / "SHA256SUMS").exists()


def test_what_a_failed_run_has_got_the_next_one_goes_on_with(pulled, server, whole, size, tmp_path):
    server.on(NAME, cut(9000), status(404))
    assert [each.path for each in pulled().failed_inputs] == [NAME]
    manifest = pulled()
    assert whole()
    assert manifest.counts["resumed"] == 1
    assert server.bytes_sent(NAME) == size
    assert list((tmp_path / "copy").rglob("_part*")) == []


def test_a_silent_server_is_left_and_asked_again(pulled, server, whole):
    server.on(NAME, silent(5000))
    assert pulled(timeout_s=0.3).counts["retries"] == 1
    assert whole()


def test_nobody_there_is_an_error_with_the_address(pulled, server):
    with pytest.raises(UserError, match=r"127\.0\.0\.1:1/SHA256SUMS: .*refused.*after 2 tries"):
        pulled(url="http://127.0.0.1:1", attempts=2)


_FAULTS = {
    "cut": cut,
    "reset": reset,
    "busy": lambda _: status(503),
    "no range": lambda _: whole_always,
    "other range": lambda _: other_range,
    "too far": lambda _: status(416),
}


@settings(max_examples=15)
@given(st.lists(st.tuples(st.sampled_from(sorted(_FAULTS)), st.integers(0, 40_000)), max_size=10))
def test_whatever_breaks_where_the_file_is_the_sources(tmp_path_factory, faults):
    data = hashlib.shake_256(b"a file").digest(40_000)
    place = tmp_path_factory.mktemp("cut")
    (place / "file").write_bytes(data)
    with serving(place) as server:
        server.on("file", *[_FAULTS[kind](position) for kind, position in faults], cut(40_000))
        source = Web(server.url, connections=1, timeout_s=5)
        patience = Patience(attempts=30, first_wait_s=0, most_bytes=1 << 20)
        fetch(source, "file", hashlib.sha256(data).hexdigest(), place / "copy", patience)
        source.hang_up()
    assert (place / "copy").read_bytes() == data
    assert patience.tally.bytes_downloaded <= server.bytes_sent()
