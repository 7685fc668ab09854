"""A release made again, elsewhere, by Spark or after a kill is the same release, byte by byte."""

import json
import os
import signal
import subprocess
import sys
import time

import fsspec
import numpy as np
import pytest

from pipeline.release import publish, run, survey
from pipeline.release.survey import sampled_below
from schemas.errors import UserError
from tests.pipeline.release.roots import config_of, contents, make_pool, make_root, pair

PAIRS = [pair(number) for number in range(200)]


def test_two_roots_of_equal_data_give_the_same_bytes(tmp_path):
    for name in ("one", "other"):
        root = make_root(tmp_path / name / "root", PAIRS, arrays=True, subsets={"some": [PAIRS[1]["uid"]]})
        run(config_of(root, tmp_path / name / "out", file_rows=30, embeddings=("all",)))
    assert contents(tmp_path / "one/out") == contents(tmp_path / "other/out")


def test_how_rows_are_spread_over_shards_does_not_show_in_the_data(tmp_path):
    for name, file_rows in (("one", 20), ("other", 70)):
        run(config_of(make_pool(tmp_path / name, PAIRS, file_rows=file_rows), tmp_path / name / "out", of="pool", file_rows=30))
    one, other = contents(tmp_path / "one/out"), contents(tmp_path / "other/out")
    assert {name: data for name, data in one.items() if name.startswith("data/")} == {
        name: data for name, data in other.items() if name.startswith("data/")
    }


def test_more_rows_than_fit_go_through_spark_which_makes_the_same_bytes_repeats_and_embeddings_included(
    tmp_path, spark, monkeypatch
):
    root = make_root(tmp_path / "root", [*PAIRS, *PAIRS[11:19]], shard_rows=110, arrays=True, subsets={"some": [PAIRS[1]["uid"]]})
    settings = {"file_rows": 90, "embeddings": ("all",)}
    here = run(config_of(root, tmp_path / "here", **settings))
    monkeypatch.setattr(publish, "ROWS_HERE", 100)
    spark.conf.set("spark.sql.session.timeZone", "America/Los_Angeles")  # where the pairs' day has not begun
    try:
        there = run(config_of(root, tmp_path / "there", **settings))
    finally:
        spark.conf.set("spark.sql.session.timeZone", "UTC")
    assert there.counts == here.counts
    assert here.counts["dropped_repeated_uid"] > 0
    assert here.facts["cost"]["shuffle_bytes"] == 0
    assert there.facts["cost"]["shuffle_bytes"] > 0
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


def test_a_sample_of_the_keys_cuts_files_of_about_the_rows_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(survey, "SAMPLED_KEYS", 500)
    run(
        config_of(
            make_pool(tmp_path / "root", [pair(number) for number in range(3000)]), tmp_path / "out", of="pool", file_rows=1000
        )
    )
    rows = list(json.loads((tmp_path / "out/release.json").read_text())["data"].values())
    assert sum(rows) == 3000
    assert len(rows) == 3
    assert min(rows) > 800


def test_the_sample_is_a_share_of_the_uids():
    uids = [np.random.default_rng(number).bytes(16).hex() for number in range(2000)]
    below = sampled_below(4 * survey.SAMPLED_KEYS)
    assert np.mean([uid < below for uid in uids]) == pytest.approx(0.25, abs=0.03)
    assert all(uid < sampled_below(survey.SAMPLED_KEYS) for uid in uids)


def test_a_run_that_finds_all_done_writes_the_same_again_and_reads_no_row(tmp_path):
    root = make_root(tmp_path / "root", PAIRS, arrays=True)
    config = config_of(root, tmp_path / "out", file_rows=30, embeddings=("all",))
    run(config)
    before = contents(tmp_path / "out")
    stamps = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out/data").glob("0*")}
    assert run(config).parts_resumed == len(list((tmp_path / "out/data").glob("*.parquet")))
    assert contents(tmp_path / "out") == before
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out/data").glob("0*")} == stamps


def test_another_name_or_licence_writes_the_documents_anew_and_keeps_the_data(tmp_path):
    root = make_root(tmp_path / "root", PAIRS)
    run(config_of(root, tmp_path / "out"))
    manifest = run(config_of(root, tmp_path / "out", name="another", license="cc0-1.0"))
    assert manifest.parts_resumed == 1
    assert "# another" in (tmp_path / "out/README.md").read_text()


def test_another_number_of_rows_per_file_in_the_same_folder_is_refused(tmp_path):
    root = make_root(tmp_path / "root", PAIRS)
    run(config_of(root, tmp_path / "out", file_rows=30))
    with pytest.raises(UserError, match=r"made with another configuration .file_rows: 30 there, 40 now"):
        run(config_of(root, tmp_path / "out", file_rows=40))


def test_data_that_changed_since_is_refused_in_the_same_folder(tmp_path):
    root = make_root(tmp_path / "root", PAIRS)
    run(config_of(root, tmp_path / "out", file_rows=30))
    make_root(root, [*PAIRS, pair(500), pair(501)])
    with pytest.raises(UserError, match=r"made with another configuration .*upstream"):
        run(config_of(root, tmp_path / "out", file_rows=30))


def test_a_file_that_is_missing_is_made_again_alone(tmp_path):
    config = config_of(make_root(tmp_path / "root", PAIRS), tmp_path / "out", file_rows=30)
    run(config)
    before = contents(tmp_path / "out")
    (tmp_path / "out/data/00002.parquet").unlink()
    assert run(config).parts_resumed == len(list((tmp_path / "out/data").glob("*.parquet"))) - 1
    assert contents(tmp_path / "out") == before


def test_a_subset_that_is_gone_from_the_root_goes_from_the_release(tmp_path):
    root = make_root(tmp_path / "root", PAIRS, subsets={"some": [PAIRS[1]["uid"]]})
    run(config_of(root, tmp_path / "out"))
    for path in (root / "5_subsets").iterdir():
        path.unlink()
    run(config_of(root, tmp_path / "out"))
    assert list((tmp_path / "out/subsets").iterdir()) == []


def test_a_bucket_is_released_into_a_bucket_as_a_folder_into_a_folder(tmp_path, s3_environment):
    where = {"endpoint_url": s3_environment["AWS_ENDPOINT_URL"], "key": "key", "secret": "secret"}
    bucket = fsspec.filesystem("s3", use_listings_cache=False, **where)
    bucket.mkdir("data")
    root = make_root(tmp_path / "root", PAIRS, arrays=True, subsets={"some": [PAIRS[1]["uid"]]})
    bucket.put(str(root), "data/root", recursive=True)
    command = [sys.executable, "-m", "pipeline.cli", "release", "--file-rows", "90", "--embeddings", "all"]
    command += ["--root", "s3://data/root", "--out", "s3://data/out"]
    ran = subprocess.run(command, env={**os.environ, **s3_environment}, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    run(config_of(root, tmp_path / "here", file_rows=90, embeddings=("all",)))
    bucket.get("data/out", str(tmp_path / "there"), recursive=True)
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


def test_a_run_killed_on_its_way_is_taken_up_where_it_stopped(tmp_path):
    root = make_pool(tmp_path / "root", [pair(number) for number in range(3000)], file_rows=500)
    settings = ["release", "--root", str(root), "--of", "pool", "--file-rows", "20", "--out"]
    command = [sys.executable, "-m", "pipeline.cli", *settings]
    process = subprocess.Popen([*command, str(tmp_path / "out")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ledger = tmp_path / "out/data/_parts"
    until = time.monotonic() + 60
    while time.monotonic() < until and not (ledger.is_dir() and len(os.listdir(ledger)) > 3):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "out/SHA256SUMS").exists()
    config = {"of": "pool", "file_rows": 20}
    manifest = run(config_of(root, tmp_path / "out", **config))
    assert 0 < manifest.parts_resumed < 150
    run(config_of(root, tmp_path / "whole", **config))
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    ran = subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=tmp_path / "out", check=False)
    assert ran.returncode == 0


@pytest.mark.parametrize("there", ["README.md", "data/00000.parquet", "subsets/mine.json"])
def test_a_folder_that_holds_something_else_is_left_as_it_is(tmp_path, there):
    root, precious = make_root(tmp_path / "root", PAIRS), tmp_path / "out" / there
    precious.parent.mkdir(parents=True)
    precious.write_text("precious")
    with pytest.raises(UserError, match="not empty, and no release that this command began"):
        run(config_of(root, tmp_path / "out"))
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == [precious]
    assert precious.read_text() == "precious"


def test_a_run_that_was_killed_before_it_wrote_anything_is_no_obstacle(tmp_path):
    (tmp_path / "out/data/_running").mkdir(parents=True)
    run(config_of(make_root(tmp_path / "root", PAIRS), tmp_path / "out"))


def test_a_file_that_was_cut_since_is_made_again(tmp_path):
    root, out = make_root(tmp_path / "root", PAIRS, arrays=True), tmp_path / "out"
    run(config_of(root, out, embeddings=("all",)))
    before = contents(out)
    (out / "data/00000.npz").write_bytes(before["data/00000.npz"][:-1])
    run(config_of(root, out, embeddings=("all",)))
    assert contents(out) == before
