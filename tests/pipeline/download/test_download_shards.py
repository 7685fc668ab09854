"""The stage on ordinary input: cutting into shards, one fetch per URL, same bytes twice, accounts, foreign metadata, errors."""

import gzip
import json
import sys
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.cli import main
from pipeline.download import DownloadConfig, run
from pipeline.download.layout import key_of
from pipeline.download.plan import plan, read_rows
from schemas.errors import UsageError, UserError
from schemas.shards import ACCOUNT, SHARDS


@pytest.fixture
def download(tmp_path, make):
    """Download a pool of pairs; the manifest."""

    def download(pairs, out="out", **options):
        pool = make.pool(tmp_path / "pool", pairs)
        return run(DownloadConfig(pool=str(pool), out=str(tmp_path / out), allow_private_addresses=True, **options))

    return download


def same_but_for_the_account(one: Path, two: Path, *shards: str) -> bool:
    """Whether two folders hold the same tars, byte for byte, and sidecars that differ in times and durations at most."""
    times = [field.name for field in ACCOUNT]
    return all(
        (one / f"{shard}.tar").read_bytes() == (two / f"{shard}.tar").read_bytes()
        and pq.read_table(one / f"{shard}.parquet").drop(times).equals(pq.read_table(two / f"{shard}.parquet").drop(times))
        for shard in shards
    )


def test_shards_run_across_files(tmp_path, make):
    make.pool(tmp_path, [(f"http://a.example/{n}", str(n)) for n in range(23)], files=4)
    parts = plan(str(tmp_path), 10)
    assert [part.name for part in parts] == ["00000", "00001", "00002"]
    assert [read_rows(part)["caption"].to_pylist() for part in parts] == [
        [str(n) for n in range(start, min(start + 10, 23))] for start in (0, 10, 20)
    ]


def test_keys_have_img2datasets_digits():
    assert key_of(3, 42, 10_000) == "000030042"
    assert key_of(3, 42, 10_001) == "0000300042"
    assert key_of(12, 7, 8) == "000127"


def test_one_url_is_fetched_once_however_many_captions_it_has(download, web, make, tmp_path):
    url = web.serve("/a.jpg", make.picture(50, 50))
    download([(url, f"caption {n}") for n in range(5)])
    assert web.requests == {"/a.jpg": 1}
    with tarfile.open(tmp_path / "out/00000.tar") as tar:
        images = [tar.extractfile(name).read() for name in tar.getnames() if name.endswith(".jpg")]
        texts = [tar.extractfile(name).read().decode() for name in tar.getnames() if name.endswith(".txt")]
    assert len(set(images)) == 1
    assert texts == [f"caption {n}" for n in range(5)]


def test_the_same_answers_give_the_same_bytes(download, web, make, tmp_path):
    pairs = [(web.serve(f"/{n}.jpg", make.picture(60 + n, 50, n)), f"text {n}") for n in range(12)]
    for out, concurrency in (("one", 1), ("two", 12)):
        download(pairs, out, concurrency=concurrency)
    assert same_but_for_the_account(tmp_path / "one", tmp_path / "two", "00000")


def test_the_manifest_counts_every_outcome_and_sizes_are_written(download, web, make, tmp_path):
    good = [(web.serve(f"/{n}.jpg", make.picture(50, 50)), "text") for n in range(3)]
    bad = [(web.url("/missing.jpg"), "text"), (web.serve("/page.html", b"<html>"), "text")]
    manifest = download([*good, *bad], samples_per_shard=4)
    assert manifest.counts == {
        "rows_in": 5,
        "rows_out": 3,
        "success": 3,
        "failed_to_download_http_404": 1,
        "failed_to_resize_not_image": 1,
    }
    assert manifest.facts["00000"]["success_rate"] == 0.75
    assert json.loads((tmp_path / "out/sizes.json").read_bytes()) == {"00000.tar": 3, "00001.tar": 0}


def test_the_sidecar_has_the_schemas_columns_and_the_pools_provenance(download, web, make, tmp_path):
    download([(web.serve("/a.jpg", make.picture(50, 40)), "a"), (web.serve("/b.jpg", make.picture(50, 40)), "b")])
    table = pq.read_table(tmp_path / "out/00000.parquet")
    assert table.schema.equals(SHARDS)
    assert table["fetched_at"].to_pylist()[1] == datetime(2024, 5, 18, 1, 2, 3, tzinfo=UTC)
    assert table["width"].to_pylist() == [50, 50]


def test_a_failure_that_may_pass_is_tried_again_and_a_404_is_not(download, web, make):
    body = make.picture(50, 50)

    def at_the_third(handler):
        make.send(handler, body, status=200 if web.requests["/late.jpg"] == 3 else 503)

    manifest = download([(web.answer("/late.jpg", at_the_third), "a"), (web.url("/missing.jpg"), "b")])
    assert manifest.counts["success"] == 1
    assert web.requests == {"/late.jpg": 3, "/missing.jpg": 1}


@pytest.mark.parametrize("said", ["none", "img2dataset: noai", "noarchive; noindex"])
def test_an_image_whose_own_header_refuses_its_use_is_not_stored(download, web, make, said):
    url = web.serve("/a.jpg", make.picture(50, 50), headers={"X-Robots-Tag": said})
    assert download([(url, "a")]).counts == {"failed_to_download_opt_out": 1, "rows_in": 1, "rows_out": 0}


def test_a_gzip_body_is_decoded(download, web, make):
    url = web.serve("/a.jpg", gzip.compress(make.picture(50, 50)), headers={"Content-Encoding": "gzip"})
    assert download([(url, "a")]).counts["success"] == 1


def test_a_proxy_gets_every_request_and_resolves_the_names(download, web, make, tmp_path):
    url = "http://nowhere.invalid/a.jpg"
    web.serve(url, make.picture(50, 50))
    pool = make.pool(tmp_path / "pool", [(url, "a")])
    manifest = run(DownloadConfig(pool=str(pool), out=str(tmp_path / "out"), proxy=web.url("")))
    assert manifest.counts["success"] == 1
    assert web.requests == {url: 1}


def test_foreign_metadata_needs_only_uid_url_and_text(web, make, tmp_path):
    url = web.serve("/a.jpg", make.picture(50, 50))
    table = pa.table(
        {"text": ["a", None], "url": [url, None], "uid": ["0" * 32, "1" * 32], "clip_b32_similarity_score": [0.1, 0.2]}
    )
    (tmp_path / "foreign").mkdir()
    pq.write_table(table, tmp_path / "foreign/x.parquet")
    run(DownloadConfig(pool=str(tmp_path / "foreign"), out=str(tmp_path / "out"), allow_private_addresses=True))
    rows = pq.read_table(tmp_path / "out/00000.parquet").to_pylist()
    assert list(rows[0])[:5] == ["uid", "caption", "url", "key", "status"]
    assert [row["error_message"] for row in rows] == [None, "invalid_url"]


def test_worker_processes_write_the_same_shards(download, web, make, tmp_path):
    pairs = [(web.serve(f"/{n}.jpg", make.picture(60, 50, n)), f"text {n}") for n in range(4)]
    download(pairs, "one", samples_per_shard=2)
    download(pairs, "two", samples_per_shard=2, workers=2)
    assert same_but_for_the_account(tmp_path / "one", tmp_path / "two", "00000", "00001")


def test_what_a_user_can_mend_is_said_in_one_line(tmp_path, make, capsys):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no parquet files"):
        plan(str(tmp_path / "empty"), 10)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/x.parquet").write_bytes(b"nonsense")
    with pytest.raises(UserError, match=r"x\.parquet: not readable as parquet"):
        plan(str(tmp_path / "bad"), 10)
    pq.write_table(pa.table({"URL": ["a"]}), tmp_path / "bad/x.parquet")
    with pytest.raises(UserError, match="no column uid, url, text"):
        plan(str(tmp_path / "bad"), 10)
    with pytest.raises(UsageError, match="--image-size 0"):
        DownloadConfig(pool="a", out="b", image_size=0)
    assert main(["download", "--pool", str(tmp_path / "none"), "--out", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err == f"webpairs: {tmp_path}/none: no such folder\n"


def test_the_other_engine_says_what_to_install_where_it_is_missing(tmp_path, make, monkeypatch):
    monkeypatch.setitem(sys.modules, "img2dataset", None)  # Python's own way to make a module absent
    pool = make.pool(tmp_path / "pool", [("http://a.example/a.jpg", "a")])
    with pytest.raises(UserError, match=r"pip install 'webpairs\[img2dataset\]'"):
        run(DownloadConfig(pool=str(pool), out=str(tmp_path / "out"), engine="img2dataset"))
    assert not (tmp_path / "out").exists()


def test_the_other_engine_on_spark_is_refused_before_anything_is_written(tmp_path, make):
    pool = make.pool(tmp_path / "pool", [("http://a.example/1.jpg", "a")])
    config = DownloadConfig(pool=str(pool), out=str(tmp_path / "out"), engine="img2dataset")
    with pytest.raises(UsageError, match=r"^--engine img2dataset: runs on one machine, not on Spark; .+$"):
        run(config, spark=object())
    assert not (tmp_path / "out").exists()
