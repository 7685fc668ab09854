"""Removal lists at download: what is known by its bytes is not stored, what is known before is not fetched."""

import hashlib
import tarfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.download import DownloadConfig, run
from schemas.errors import UsageError, UserError


@pytest.fixture
def download(tmp_path, make):
    """A function: the manifest and the sidecar's rows of a pool of those pairs, with a removal list of that text."""

    def download(pairs, text, **options):
        asked = tmp_path / "asked.txt"
        asked.write_text(text)
        pool = tmp_path / "pool"
        if not pool.exists():
            make.pool(pool, pairs)
        config = DownloadConfig(
            pool=str(pool), out=str(tmp_path / "out"), remove=(str(asked),), allow_private_addresses=True, **options
        )
        manifest = run(config)
        return manifest, [row for path in sorted(Path(config.out).glob("0*.parquet")) for row in pq.read_table(path).to_pylist()]

    return download


@pytest.mark.parametrize("name", ["md5", "sha1", "sha256"])
def test_bytes_on_a_list_are_not_stored_whatever_their_url(download, web, make, tmp_path, name):
    listed, other = make.picture(60, 50, 1), make.picture(60, 50, 2)
    pairs = [(web.serve(path, body), path) for path, body in [("/a.jpg", listed), ("/b.jpg", other), ("/c.jpg", listed)]]
    manifest, rows = download(pairs, f"# by mail\n{hashlib.new(name, listed).hexdigest().upper()}\n")
    assert [(row["status"], row["error_message"]) for row in rows] == [
        ("failed_to_download", f"removed_by_{name}"),
        ("success", None),
        ("failed_to_download", f"removed_by_{name}"),
    ]
    with tarfile.open(tmp_path / "out/00000.tar") as tar:
        assert tar.getnames() == ["000000001.jpg", "000000001.json", "000000001.txt"]
    assert manifest.counts[f"failed_to_download_removed_by_{name}"] == 2
    assert (manifest.counts["rows_in"], manifest.counts["rows_out"]) == (3, 1)
    assert [row["sha256"] for row in rows] == [None, hashlib.sha256(other).hexdigest(), None]
    assert not (tmp_path / "out/_needed").exists()


def test_pairs_on_a_list_are_not_fetched(download, web, make):
    paths = ["/uid.jpg", "/url.jpg", "/hash.jpg", "/kept.jpg"]
    urls = {path: web.serve(path, make.picture(50, 50, seed)) for seed, path in enumerate(paths)}
    pairs = [(url, path) for path, url in urls.items()] + [
        (urls["/uid.jpg"], "another text"),
        ("http://gone.example.org/a.jpg", "x"),
    ]
    uid, hashed = make.uid(*pairs[0]), hashlib.sha1(urls["/hash.jpg"].encode()).hexdigest()
    _, rows = download(pairs, "\n".join([uid, urls["/url.jpg"], hashed, "example.org"]))
    assert [row["error_message"] for row in rows] == [
        "removed_by_uid",
        "removed_by_url",
        "removed_by_hash",
        None,
        None,
        "removed_by_domain",
    ]
    assert web.requests == {"/uid.jpg": 1, "/kept.jpg": 1}


def test_worker_processes_know_the_lists(download, web, make):
    bodies = [make.picture(50, 50, seed) for seed in range(6)]
    pairs = [(web.serve(f"/{n}.jpg", body), "text") for n, body in enumerate(bodies)]
    manifest, _ = download(pairs, hashlib.sha256(bodies[4]).hexdigest(), samples_per_shard=2, workers=2)
    assert manifest.counts["failed_to_download_removed_by_sha256"] == 1
    assert manifest.counts["success"] == 5


def test_a_list_that_changed_is_another_configuration(download, web, make):
    pairs = [(web.serve("/a.jpg", make.picture(50, 50)), "text")]
    download(pairs, "0" * 64)
    assert download(pairs, "0" * 64)[0].parts_resumed == 1
    with pytest.raises(UserError, match="made with another configuration"):
        download(pairs, "1" * 64)


def test_a_list_that_cannot_be_read_is_told_before_anything_is_fetched(download, web, make, tmp_path):
    pairs = [(web.serve("/a.jpg", make.picture(50, 50)), "text")]
    with pytest.raises(UserError, match=r"asked\.txt:1: 'no entry'"):
        download(pairs, "no entry\n")
    assert not web.requests
    assert not (tmp_path / "out").exists()


def test_the_other_engine_refuses_lists():
    with pytest.raises(UsageError, match="--remove: img2dataset is not told"):
        DownloadConfig(pool="p", out="o", remove=("asked.txt",), engine="img2dataset")
