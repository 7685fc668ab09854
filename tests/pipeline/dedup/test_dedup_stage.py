"""`webpairs dedup`: columns beside the metadata, the same whatever the memory and the workers, resumed after any death."""

import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.cli import main
from pipeline.dedup import DedupConfig, run
from pipeline.dedup.nearest import nearest_earlier
from pipeline.metadata.files import metadata_files
from schemas.duplicates import DUPLICATES
from schemas.errors import UsageError, UserError


def deduplicated(metadata: Path, out: Path, **settings):
    return run(DedupConfig(metadata=str(metadata), out=str(out), **settings))


def pool_in_order(metadata: Path):
    """uids, scores and embeddings of all rows, in the default order."""
    tables = [pq.read_table(file.path) for file in metadata_files(str(metadata))]
    table = pa.concat_tables(tables)
    rows = np.concatenate([np.load(file.arrays)["l14_img"] for file in metadata_files(str(metadata))])
    uids, scores = table["uid"].to_pylist(), table["clip_l14_similarity_score"].to_pylist()
    order = sorted(range(len(uids)), key=lambda i: (np.isnan(scores[i]), -np.nan_to_num(scores[i]), uids[i]))
    return [uids[i] for i in order], rows[order]


def expected(metadata: Path, **settings) -> dict[str, tuple[str, float]]:
    uids, rows = pool_in_order(metadata)
    index, cosine = nearest_earlier(rows, floor=0.9, seed=0, **settings)
    return {uids[row]: (uids[index[row]], cosine[row]) for row in np.flatnonzero(index >= 0)}


def found(table: pa.Table) -> dict[str, tuple[str, float]]:
    columns = (table[name].to_pylist() for name in ("uid", "dup_of", "dup_cos"))
    return {uid: (other, cosine) for uid, other, cosine in zip(*columns, strict=True) if other is not None}


def test_each_file_gets_its_rows_in_their_order_and_the_columns_asked_for(pool_of_copies, tmp_path):
    manifest = deduplicated(pool_of_copies, tmp_path / "out", by=("semantic", "exact", "perceptual"))
    for file in metadata_files(str(pool_of_copies)):
        table = pq.read_table(tmp_path / "out" / f"{file.stem}.parquet")
        assert table["uid"].equals(pq.read_table(file.path)["uid"])
        assert table.schema.equals(DUPLICATES)
    assert manifest.counts["rows"] == 1500
    assert manifest.counts["rows_without_embedding"] == 3


@pytest.mark.parametrize(("clusters", "given"), [(0, None), (4, 4)])
def test_the_nearest_earlier_row_is_that_of_the_search_in_memory(pool_of_copies, tmp_path, read_written, clusters, given):
    deduplicated(pool_of_copies, tmp_path / "out", clusters=clusters)
    assert found(read_written(tmp_path / "out")) == expected(pool_of_copies, clusters=given)


def test_out_of_core_and_in_memory_with_any_workers_write_the_same_bytes(pool_of_copies, tmp_path, memory_gb_for, are_same):
    roomy = deduplicated(pool_of_copies, tmp_path / "roomy", clusters=4)
    tight = deduplicated(pool_of_copies, tmp_path / "tight", clusters=4, workers=3, memory_gb=memory_gb_for(1400, n=1500, d=64))
    assert "spilled_rows" not in roomy.facts["semantic"]
    assert tight.facts["semantic"]["spilled_rows"] == 2 * (1500 - 3)
    assert are_same(tmp_path / "roomy", tmp_path / "tight")
    assert not (tmp_path / "tight/_clusters").exists()
    assert roomy.counts == tight.counts


def test_a_cluster_larger_than_the_memory_is_searched_in_blocks_that_all_meet(
    pool_of_copies, tmp_path, memory_gb_for, read_written
):
    deduplicated(pool_of_copies, tmp_path / "out", memory_gb=memory_gb_for(400, n=1500, d=64))
    assert found(read_written(tmp_path / "out")) == expected(pool_of_copies)  # up to 4096 rows, every pair is compared


def test_a_row_without_embedding_is_nobodys_copy_and_in_no_cluster(pool_of_copies, tmp_path, read_written):
    deduplicated(pool_of_copies, tmp_path / "out")
    table = read_written(tmp_path / "out")
    for row in (3, 700, 901):
        assert [table[name][row].as_py() for name in ("dup_of", "dup_cos", "cluster", "cluster_cos")] == [None] * 4
        assert table["uid"][row] not in set(table["dup_of"])


def test_the_cluster_of_a_row_is_that_of_the_nearest_centroid(pool_of_copies, tmp_path, read_written):
    deduplicated(pool_of_copies, tmp_path / "out", clusters=5)
    centroids = np.load(tmp_path / "out/centroids.npy")
    assert (centroids.shape, centroids.dtype) == ((5, 64), np.float32)
    rows = np.concatenate([np.load(file.arrays)["l14_img"] for file in metadata_files(str(pool_of_copies))]).astype(np.float32)
    with np.errstate(invalid="ignore"):
        products = rows / np.linalg.norm(rows, axis=1, keepdims=True) @ centroids.T
    table = read_written(tmp_path / "out")
    known = table["cluster"].is_valid().to_numpy()
    assert np.array_equal(table["cluster"].to_numpy()[known], products[known].argmax(axis=1))
    assert np.allclose(table["cluster_cos"].to_numpy()[known], products[known].max(axis=1), atol=1e-5)


def test_the_order_that_is_given_decides_which_copy_is_the_original(write_pool, tmp_path, read_written):
    rows = np.ones((4, 8), np.float16)
    folder = write_pool([{"uid": [c * 32 for c in "abcd"], "age": pa.array([3, None, 1, 3], pa.int64()), "l14_img": rows}])
    for order, first in ((("age",), "c"), (("age:high",), "a"), (("uid:high",), "d"), ((), "a")):
        deduplicated(folder, tmp_path / first / str(len(order)), order=order)
        table = read_written(tmp_path / first / str(len(order)))
        originals = {uid for uid, other in zip(*(table[n].to_pylist() for n in ("uid", "dup_of")), strict=True) if other is None}
        assert originals == {first * 32}


def test_a_pool_of_one_row_and_files_without_rows_are_no_problem(write_pool, tmp_path):
    folder = write_pool([{"uid": ["a" * 32], "l14_img": np.ones((1, 8), np.float16)}])
    empty = pa.table({"uid": pa.array([], pa.string())})
    pq.write_table(empty, folder / "00001.parquet")
    np.savez(folder / "00001.npz", l14_img=np.ones((0, 8), np.float16))
    manifest = deduplicated(folder, tmp_path / "out")
    assert (manifest.counts["rows"], manifest.counts["semantic_duplicates"], manifest.failed_inputs) == (1, 0, [])
    assert len(pq.read_table(tmp_path / "out/00001.parquet")) == 0


@pytest.mark.parametrize("memory", ["roomy", "tight"])
def test_a_file_that_cannot_be_read_is_named_and_takes_no_part(pool_of_copies, tmp_path, memory_gb_for, memory, read_written):
    data = (pool_of_copies / "00001.npz").read_bytes()
    (pool_of_copies / "00001.npz").write_bytes(data[: len(data) // 2])
    memory_gb = 4 if memory == "roomy" else memory_gb_for(1400, n=1500, d=64)
    manifest = deduplicated(pool_of_copies, tmp_path / "out", clusters=3, memory_gb=memory_gb)
    assert [Path(report.path).name for report in manifest.failed_inputs] == ["00001.parquet"]
    assert sorted(p.name for p in (tmp_path / "out").glob("*.parquet")) == ["00000.parquet", "00002.parquet"]
    theirs = set(pq.read_table(pool_of_copies / "00001.parquet")["uid"].to_pylist())
    table = read_written(tmp_path / "out")
    assert not theirs & set(table["dup_of"].to_pylist())
    again = deduplicated(pool_of_copies, tmp_path / "out", clusters=3, memory_gb=memory_gb)
    assert (again.parts_resumed, again.counts, again.facts) == (2, manifest.counts, manifest.facts)


def test_a_file_that_can_be_read_again_makes_all_parts_anew(pool_of_copies, tmp_path, are_same):
    npz = pool_of_copies / "00001.npz"
    data = npz.read_bytes()
    deduplicated(pool_of_copies, tmp_path / "whole")
    npz.write_bytes(bytes(len(data)))  # the same size: the folder cannot be told from the one before
    assert deduplicated(pool_of_copies, tmp_path / "out").parts == ("00000", "00002")
    npz.write_bytes(data)
    assert deduplicated(pool_of_copies, tmp_path / "out").parts_resumed == 0
    assert are_same(tmp_path / "whole", tmp_path / "out")


def test_nothing_is_done_twice(pool_of_copies, tmp_path):
    first = deduplicated(pool_of_copies, tmp_path / "out")
    written = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.parquet")}
    second = deduplicated(pool_of_copies, tmp_path / "out")
    assert (second.parts_resumed, second.counts, second.facts) == (3, first.counts, first.facts)
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.parquet")} == written


KILLED = """
    import os, signal, sys
    from pipeline.dedup import DedupConfig, budget, marking, out_of_core, run
    budget._LEAST_ROWS, budget._BYTES_PER_SAMPLED = 32, 0
    module, name, times = getattr(sys.modules["pipeline.dedup." + sys.argv[4]], sys.argv[5]), sys.argv[5], int(sys.argv[6])
    def dying(*words, **named):
        global times
        times -= 1
        if times < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return module(*words, **named)
    setattr(sys.modules["pipeline.dedup." + sys.argv[4]], name, dying)
    run(DedupConfig(metadata=sys.argv[1], out=sys.argv[2], clusters=4, memory_gb=float(sys.argv[3])))
"""


@pytest.mark.parametrize(
    ("death", "kept"),
    [
        (("out_of_core", "nearest_centroids", 1), 0),
        (("out_of_core", "nearest_in_cluster", 2), 0),
        (("marking", "_write_part", 1), 1),
    ],
)
def test_a_killed_run_goes_on_where_it_was(pool_of_copies, tmp_path, memory_gb_for, are_same, *, death, kept):
    memory_gb = memory_gb_for(1400, n=1500, d=64)
    arguments = [str(pool_of_copies), str(tmp_path / "out"), str(memory_gb), *map(str, death)]
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(KILLED), *arguments], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert not (tmp_path / "out/_manifest.json").exists()
    started = time.time_ns()
    deduplicated(pool_of_copies, tmp_path / "out", clusters=4, memory_gb=memory_gb)
    older = [path for path in (tmp_path / "out/_parts").glob("*.json") if path.stat().st_mtime_ns < started]
    assert len(older) == kept
    deduplicated(pool_of_copies, tmp_path / "whole", clusters=4)
    assert are_same(tmp_path / "out", tmp_path / "whole")
    assert not (tmp_path / "out/_clusters").exists()


def test_searches_that_a_killed_run_had_done_stand(pool_of_copies, tmp_path, memory_gb_for, monkeypatch):
    from pipeline.dedup import out_of_core

    searched: list[str] = []
    search, memory_gb = out_of_core.search_cluster, memory_gb_for(1400, n=1500, d=64)

    def interrupted(contents, clusters, place, part, folder):
        searched.append(part.name)
        if len(searched) == 3:
            raise KeyboardInterrupt
        return search(contents, clusters, place, part, folder)

    monkeypatch.setattr(out_of_core, "search_cluster", interrupted)
    with pytest.raises(KeyboardInterrupt):
        deduplicated(pool_of_copies, tmp_path / "out", clusters=4, memory_gb=memory_gb)
    deduplicated(pool_of_copies, tmp_path / "out", clusters=4, memory_gb=memory_gb)
    assert searched == ["0000000", "0000001", "0000002", "0000002", "0000003"]


def test_wrong_options_and_metadata_are_told(pool_of_copies, tmp_path, write_pool):
    for settings, said in (
        ({"by": ("colour",)}, "--by colour: must be one or several of semantic, perceptual, exact"),
        ({"floor": 0.0}, "--floor 0: must be more than 0"),
        ({"embeddings": "b32_img"}, "--embeddings b32_img: no such array .* there are: l14_img"),
        ({"order": ("beauty:high",)}, "--order beauty:high: the metadata has no column beauty"),
        ({"memory_gb": 0.4}, "--memory-gb 0.4: 1,500 rows of 64 dimensions need at least 0.5"),
        ({"by": ("exact",), "hash": "stored"}, "--by exact: the metadata has no column stored_sha256"),
    ):
        with pytest.raises(UsageError, match=said):
            deduplicated(pool_of_copies, tmp_path / "out", **settings)
    other = write_pool([{"uid": ["no uid"], "l14_img": np.ones((1, 8), np.float16)}], name="other")
    with pytest.raises(UserError, match=r"uid 'no uid' has 6 characters.*no file of the metadata can be used"):
        deduplicated(other, tmp_path / "out2")


def test_the_spill_is_refused_where_the_disk_has_no_room(pool_of_copies, tmp_path, memory_gb_for, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda place: SimpleNamespace(free=1000))
    with pytest.raises(UserError, match=r"needs 0\.0 GB for embeddings by cluster"):
        deduplicated(pool_of_copies, tmp_path / "out", clusters=4, memory_gb=memory_gb_for(1400, n=1500, d=64))


def test_the_command_says_what_it_did(pool_of_copies, tmp_path, capsys):
    command = ["dedup", "--metadata", str(pool_of_copies), "--out", str(tmp_path / "out"), "--by", "exact", "semantic"]
    assert main([*command, "--memory_gb", "2", "--floor", "0.95"]) == 0
    told = capsys.readouterr().out
    assert "rows 1,500" in told
    assert "semantic_duplicates_0.95" in told
    assert "semantic_duplicates_0.90" not in told
    assert main([*command, "--floor", "0.9"]) == 1  # another configuration


def test_embeddings_of_any_precision_and_length_are_compared(write_pool, tmp_path, read_written):
    rows = np.random.default_rng(0).standard_normal((3, 16))
    long = np.stack([rows[0], rows[1], rows[0], rows[1]]) * 1e6  # float16 ends at 65,504
    folder = write_pool([{"uid": [c * 32 for c in "abcd"], "l14_img": long.astype(np.float32)}])
    manifest = deduplicated(folder, tmp_path / "out", floor=0.99)
    assert [uid and uid[0] for uid in read_written(tmp_path / "out")["dup_of"].to_pylist()] == [None, None, "a", "b"]
    assert manifest.counts["rows_without_embedding"] == 0


@pytest.mark.parametrize("memory", ["roomy", "tight"])
def test_files_whose_embeddings_do_not_fit_the_others_are_named(pool_of_copies, tmp_path, memory_gb_for, memory):
    narrow, short, none = (pool_of_copies / f"0000{number}.npz" for number in (1, 2, 3))
    np.savez(narrow, l14_img=np.load(narrow)["l14_img"][:, :32])
    np.savez(short, l14_img=np.load(short)["l14_img"][:499])
    pq.write_table(pq.read_table(pool_of_copies / "00000.parquet"), none.with_suffix(".parquet"))
    memory_gb = 4 if memory == "roomy" else memory_gb_for(1900, n=2000, d=64)
    manifest = deduplicated(pool_of_copies, tmp_path / "out", clusters=2, memory_gb=memory_gb)
    errors = {Path(report.path).stem: report.error for report in manifest.failed_inputs}
    assert "has 32 dimensions, those of other files 64" in errors["00001"]
    assert "fewer rows than the parquet" in errors["00002"]
    assert "no column l14_img" in errors["00003"]
    assert manifest.counts["rows"] == 500
