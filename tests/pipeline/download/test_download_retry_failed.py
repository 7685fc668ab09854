"""--retry-failed: what may have passed is asked for again, into the gaps of the shards that stand; all else stays as it is."""

import tarfile

import pyarrow.parquet as pq
import pytest

from pipeline.download import DownloadConfig, run


@pytest.fixture
def download(tmp_path, make):
    """Download pairs, or again with other options; the manifest."""

    def download(pairs, **options):
        pool = tmp_path / "pool"
        if not pool.exists():
            make.pool(pool, pairs)
        config = {"allow_private_addresses": True, "retries": 0, "timeout_s": 2.0, "samples_per_shard": 4, **options}
        return run(DownloadConfig(pool=str(pool), out=str(tmp_path / "out"), **config))

    return download


def members(folder):
    found = {}
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            found.update({member.name: tar.extractfile(member).read() for member in tar})
    return found


def rows(folder):
    return [row for path in sorted(folder.glob("0*.parquet")) for row in pq.read_table(path).to_pylist()]


@pytest.fixture
def pairs(web, make):
    """Eight pairs in two shards: fine, failing for now (500 and a broken connection), missing for good."""
    good = [web.serve(f"/good{n}.jpg", make.picture(40 + n, 50, n)) for n in range(4)]
    failing = [web.serve(f"/failing{n}.jpg", status=500) for n in range(2)]
    missing = [web.url("/missing0.jpg"), web.serve("/refused.jpg", b"x", headers={"X-Robots-Tag": "noai"})]
    urls = [good[0], failing[0], missing[0], good[1], good[2], missing[1], failing[1], good[3]]
    return [(url, f"caption {n}") for n, url in enumerate(urls)]


def mend(web, make):
    for n in range(2):
        web.serve(f"/failing{n}.jpg", make.picture(70 + n, 50, 9 + n))
    web.serve("/missing0.jpg", make.picture(80, 50))
    for n in range(4):
        web.serve(f"/good{n}.jpg", b"changed since")
    web.requests.clear()


def test_gaps_are_filled_and_the_rest_is_neither_asked_for_nor_changed(download, web, make, pairs, tmp_path):
    download(pairs)
    before, told = members(tmp_path / "out"), rows(tmp_path / "out")
    mend(web, make)
    manifest = download(pairs, retry_failed=True)
    after, told_now = members(tmp_path / "out"), rows(tmp_path / "out")
    assert web.requests == {"/failing0.jpg": 1, "/failing1.jpg": 1}
    assert {name: data for name, data in after.items() if name in before} == before
    filled = [f"{key}.{end}" for key in ("000001", "000012") for end in ("jpg", "json", "txt")]
    assert sorted(after.keys() - before.keys()) == filled
    assert list(after) == sorted(after)
    assert [row["key"] for row in told_now] == [row["key"] for row in told]
    kept = [number for number, row in enumerate(told) if row["error_message"] != "http_500"]
    assert [told_now[number] for number in kept] == [told[number] for number in kept]
    assert [row["status"] for row in told_now].count("success") == 6
    assert manifest.counts["success"] == 6
    assert manifest.counts["rows_out"] == 6
    assert manifest.counts["failed_to_download_http_404"] == 1
    assert "failed_to_download_http_500" not in manifest.counts


def test_what_fails_again_stays_a_gap_that_may_be_retried(download, web, pairs, tmp_path):
    download(pairs)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.tar")}
    web.requests.clear()
    manifest = download(pairs, retry_failed=True)
    assert web.requests == {"/failing0.jpg": 1, "/failing1.jpg": 1}
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.tar")} == before
    assert manifest.counts["failed_to_download_http_500"] == 2


def test_nothing_is_asked_for_where_nothing_may_have_passed(download, web, make, tmp_path):
    pairs = [(web.serve("/a.jpg", make.picture(50, 50)), "a"), (web.url("/missing.jpg"), "b")]
    download(pairs)
    web.requests.clear()
    download(pairs, retry_failed=True)
    assert not web.requests


def test_without_the_option_shards_that_stand_are_left_alone(download, web, make, pairs):
    download(pairs)
    mend(web, make)
    manifest = download(pairs)
    assert not web.requests
    assert manifest.counts["failed_to_download_http_500"] == 2


def test_with_the_option_shards_that_do_not_stand_are_made(download, pairs):
    assert download(pairs, retry_failed=True).counts["success"] == 4
