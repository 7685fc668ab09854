"""`webpairs dedup` where it is easily got wrong: no embeddings, failures in one column only, runs that go on elsewhere."""

import resource
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.dedup import DedupConfig, out_of_core, run, semantic
from pipeline.dedup.budget import budget_for
from schemas.errors import UsageError, UserError


def deduplicated(metadata: Path, out: Path, **settings):
    return run(DedupConfig(metadata=str(metadata), out=str(out), **settings))


@pytest.mark.parametrize("memory", ["roomy", "tight"])
def test_a_pool_of_which_no_row_has_an_embedding_is_told(write_pool, tmp_path, memory_gb_for, memory):
    metadata = write_pool([{"l14_img": np.zeros((100, 8), np.float16)}])
    memory_gb = 4 if memory == "roomy" else memory_gb_for(40, n=100, d=8)
    with pytest.raises(UserError, match="l14_img: no row that was looked at has an embedding"):
        deduplicated(metadata, tmp_path / "out", clusters=2, memory_gb=memory_gb)


def test_uids_of_64_bit_strings_are_uids(write_pool, tmp_path, read_written, copies):
    uids = [f"{row:032x}" for row in range(20)]
    metadata = write_pool([{"uid": pa.array(uids, pa.large_string()), "l14_img": copies(20)}])
    assert not deduplicated(metadata, tmp_path / "out").failed_inputs
    table = read_written(tmp_path / "out")
    assert table["uid"].to_pylist() == uids
    assert table["dup_of"].null_count < 20


def test_rows_of_a_file_whose_embeddings_cannot_be_read_are_no_originals_of_any_kind(pool_of_copies, tmp_path, read_written):
    arrays = pool_of_copies / "00000.npz"
    arrays.write_bytes(arrays.read_bytes()[:20_000])
    manifest = deduplicated(pool_of_copies, tmp_path / "out", by=("exact", "perceptual", "semantic"), embeddings="l14_img")
    assert [Path(report.path).name for report in manifest.failed_inputs] == ["00000.parquet"]
    table = read_written(tmp_path / "out")
    theirs = set(pq.read_table(pool_of_copies / "00000.parquet")["uid"].to_pylist())
    assert table["exact_dup_of"].null_count < len(table)
    for column in ("exact_dup_of", "phash_dup_of", "dup_of"):
        assert not theirs & set(table[column].to_pylist())


def test_what_a_run_had_spilled_that_was_killed_at_its_very_end_is_removed_by_the_next(pool_of_copies, tmp_path):
    deduplicated(pool_of_copies, tmp_path / "out")
    left = tmp_path / "out/_clusters/0123456789abcdef/spilled"
    left.mkdir(parents=True)
    (left / "00000.rows").write_bytes(bytes(1000))
    deduplicated(pool_of_copies, tmp_path / "out")
    assert not (tmp_path / "out/_clusters").exists()


def test_parts_of_a_run_that_had_other_clusters_are_made_anew(pool_of_copies, tmp_path, monkeypatch, are_same):
    deduplicated(pool_of_copies, tmp_path / "out")
    (tmp_path / "out/_parts/00001.json").unlink()
    monkeypatch.setattr(semantic, "plan", lambda *_, **__: 3)  # as on a machine with a GPU
    assert deduplicated(pool_of_copies, tmp_path / "out").parts_resumed == 0
    deduplicated(pool_of_copies, tmp_path / "whole")
    assert are_same(tmp_path / "out", tmp_path / "whole")


def test_that_all_clusters_failed_is_told_with_the_reason(pool_of_copies, tmp_path, memory_gb_for, monkeypatch):
    def failing(*_, **__):
        raise EOFError("a spilled file: cut short")

    monkeypatch.setattr(out_of_core, "nearest_in_cluster", failing)
    with pytest.raises(UserError, match="cluster 0000000: EOFError: a spilled file: cut short; run the same command again"):
        deduplicated(pool_of_copies, tmp_path / "out", memory_gb=memory_gb_for(600, n=1500, d=64), clusters=4)


def test_a_spilled_file_that_a_power_cut_has_shortened_is_told_with_what_to_remove(
    pool_of_copies, tmp_path, memory_gb_for, monkeypatch
):
    memory_gb = memory_gb_for(600, n=1500, d=64)
    with monkeypatch.context() as patch:
        patch.setattr(out_of_core, "nearest_in_cluster", lambda *_, **__: 1 / 0)
        with pytest.raises(UserError):
            deduplicated(pool_of_copies, tmp_path / "out", memory_gb=memory_gb, clusters=4)
    spilled = next((tmp_path / "out/_clusters").rglob("00001.rows"))
    spilled.write_bytes(spilled.read_bytes()[:-10])
    with pytest.raises(UserError, match=r"00001\.rows: cut short at byte \d+.*remove the folder _clusters in which it lies"):
        deduplicated(pool_of_copies, tmp_path / "out", memory_gb=memory_gb, clusters=4)


def test_a_killed_run_goes_on_in_a_folder_that_was_moved(pool_of_copies, tmp_path, memory_gb_for, monkeypatch):
    memory_gb = memory_gb_for(600, n=1500, d=64)
    with monkeypatch.context() as patch:
        patch.setattr(out_of_core, "_gathered", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            deduplicated(pool_of_copies, tmp_path / "out", memory_gb=memory_gb, clusters=4)
    (tmp_path / "out").rename(tmp_path / "moved")
    deduplicated(pool_of_copies, tmp_path / "moved", memory_gb=memory_gb, clusters=4)


def test_the_order_in_which_kinds_are_named_makes_no_other_configuration(pool_of_copies, tmp_path):
    deduplicated(pool_of_copies, tmp_path / "out", by=("exact", "perceptual"))
    assert deduplicated(pool_of_copies, tmp_path / "out", by=("perceptual", "exact")).parts_resumed == 3


def test_a_device_that_is_none_or_not_here_is_told(pool_of_copies, tmp_path):
    with pytest.raises(UsageError, match="--device gpu: must be auto, cpu, cuda or cuda:N"):
        deduplicated(pool_of_copies, tmp_path / "out", device="gpu")
    with pytest.raises(UsageError, match=r"--device cuda:99: torch sees \d+ GPUs here"):
        deduplicated(pool_of_copies, tmp_path / "out", device="cuda:99")


def test_a_full_disk_is_told_as_such(pool_of_copies, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (8_000, hard)
    )  # EFBIG stands for ENOSPC: no file of this test is larger but the parts
    try:
        with pytest.raises(UserError, match="make room, then run the same command again"):
            deduplicated(pool_of_copies, tmp_path / "out", by=("exact",))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_pool_that_fits_but_for_what_its_centroids_are_trained_on_does_not_fit():
    assert budget_for(5, n=1_000_000, d=512, clusters=100).all_at_once
    with pytest.raises(UsageError, match=r"need at least 5\.6"):
        budget_for(5, n=1_000_000, d=512, clusters=4096)  # all rows are sampled: 10 bytes for each of their numbers
    assert not budget_for(6, n=1_000_000, d=512, clusters=4096).all_at_once
