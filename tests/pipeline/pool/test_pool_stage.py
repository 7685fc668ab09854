"""The pool as a whole, on a real Spark."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.pool import PoolConfig, run
from schemas.errors import UsageError, UserError
from schemas.pool import POOL


@pytest.fixture
def candidates(tmp_path, row, write):
    """Three files, 300 pairs, 200 of them twice, in two files and on two days; ten of them refused on the later page only."""
    first = [row(text=f"cat {n}", day=1) for n in range(200)]
    second = [row(text=f"cat {n}", day=0, robots=["noai"] if n < 10 else []) for n in range(200)]
    third = [row(text=f"dog {n}", url="nonsense" if n < 5 else "https://d.example.net/dog.jpg") for n in range(100)]
    return write(tmp_path / "candidates", first, second, third)


@pytest.fixture
def config(tmp_path, candidates):
    return PoolConfig(candidates=candidates, out=str(tmp_path / "pool"), partitions=4)


def data_of(folder):
    return {path.name: path.read_bytes() for path in sorted(Path(folder).glob("*.parquet"))}


def rows_of(folder):
    return pq.ParquetDataset([Path(folder) / name for name in data_of(folder)]).read().to_pylist()


def test_the_pool_has_each_pair_once_and_the_account_adds_up(spark, config, capsys):
    manifest = run(config, spark)
    rows = rows_of(config.out)
    expected = {"rows_in": 500, "dropped_duplicate": 200, "dropped_invalid_url": 5, "dropped_opt_out_noai": 10, "rows_out": 285}
    assert manifest.counts == expected
    assert len(rows) == len({row["uid"] for row in rows}) == 285
    assert [row["sample_rank"] for row in rows] == sorted(row["sample_rank"] for row in rows)
    assert {(row["n_records"], row["fetched_at"].day, row["domain"]) for row in rows} == {
        (2, 21, "example.org"),
        (1, 21, "example.net"),
    }
    assert [report.status for report in manifest.inputs] == ["ok"] * 3
    assert sum(report.rows for report in manifest.inputs) == 500
    assert pq.read_schema(Path(config.out) / "part-00000.parquet").equals(POOL)
    printed = capsys.readouterr().out
    assert [line.split()[-1] for line in printed.splitlines()] == ["500", "495", "295", "285", "285", "candidate"]


def test_flag_keeps_what_opts_out_and_says_so(spark, config):
    manifest = run(replace(config, opt_out="flag"), spark)
    assert not [name for name in manifest.counts if name.startswith("dropped_opt_out")]
    assert manifest.counts["flagged_opt_out_noai"] == 10
    assert sum(row["opted_out"] for row in rows_of(config.out)) == 10


def test_a_host_does_not_lie_in_one_piece_of_the_pool(spark, tmp_path, row, write):
    """So none lies in one shard: download cuts the pool into shards as it stands."""
    rows = [row(text=f"cat {n}", url=f"https://h{host}.example.net/{n}.jpg") for host in range(10) for n in range(50)]
    out = str(tmp_path / "out")
    run(PoolConfig(candidates=write(tmp_path / "by_host", rows), out=out, partitions=4), spark)
    hosts = [row["url"].split("/")[2] for row in rows_of(out)]
    assert all(len(set(hosts[start : start + 50])) >= 8 for start in range(0, 500, 50))


def test_a_sample_is_a_prefix_of_the_full_pool(spark, config, tmp_path):
    full, part = run(config, spark), run(replace(config, sample=0.4, out=str(tmp_path / "sample")), spark)
    everything, sample = rows_of(config.out), rows_of(tmp_path / "sample")
    assert 60 < len(sample) < 160
    assert sample == everything[: len(sample)]
    assert data_of(tmp_path / "sample")["part-00000.parquet"] == data_of(config.out)["part-00000.parquet"]
    assert part.counts["rows_in"] == full.counts["rows_in"]
    assert part.counts["rows_in"] - sum(n for name, n in part.counts.items() if name.startswith("dropped_")) == len(sample)


def test_the_same_candidates_in_other_files_and_order_give_the_same_bytes(spark, config, tmp_path, write):
    rows = pq.read_table(config.candidates).to_pylist()
    other = write(tmp_path / "other", rows[::-2], rows[-2::-2])
    again = replace(config, candidates=other, out=str(tmp_path / "again"))
    run(config, spark)
    run(again, spark)
    assert data_of(config.out) == data_of(again.out)


def test_a_run_taken_up_again_does_what_is_missing_only(spark, config):
    whole = run(config, spark)
    before = data_of(config.out)
    (Path(config.out) / "part-00001.parquet").unlink()
    (Path(config.out) / "_parts" / "part-00003.json").unlink()
    stamps = {name: (Path(config.out) / name).stat().st_mtime_ns for name in ("part-00000.parquet", "part-00002.parquet")}
    again = run(config, spark)
    assert again.parts_resumed == 2
    assert again.counts == whole.counts
    assert again.inputs == whole.inputs
    assert data_of(config.out) == before
    assert stamps == {name: (Path(config.out) / name).stat().st_mtime_ns for name in stamps}


def test_a_damaged_file_costs_itself_and_mended_is_read_by_the_next_run(spark, config):
    broken = Path(config.candidates) / "00001.parquet"
    good = broken.read_bytes()
    broken.write_bytes(bytes(len(good)))  # as a store does that fails for a while: the file is the same, what is read is not
    manifest = run(config, spark)
    assert [report.path for report in manifest.failed_inputs] == [str(broken)]
    assert manifest.counts["rows_in"] == 300
    broken.write_bytes(good)
    manifest = run(config, spark)
    assert manifest.failed_inputs == []
    assert (manifest.counts["rows_in"], manifest.counts["rows_out"]) == (500, 285)


def test_a_removal_list_that_changed_is_another_configuration(spark, config, tmp_path):
    asked = tmp_path / "asked.txt"
    asked.write_text("d.example.net\n")
    config = replace(config, remove=(str(asked),))
    assert run(config, spark).counts["dropped_removed_by_domain"] == 95
    asked.write_text("images.example.org\n")
    with pytest.raises(UserError, match="made with another configuration"):
        run(config, spark)


def test_every_reason_to_remove_is_counted_apart_and_all_adds_up(spark, config, tmp_path, capsys):
    rows = pq.read_table(config.candidates).to_pylist()
    hashed = hashlib.sha1(b"https://d.example.net/dog.jpg").hexdigest()
    lists = [tmp_path / "one.txt", tmp_path / "two.txt"]
    lists[0].write_text("\n".join([*(row["uid"] for row in rows[:30]), hashed]))
    lists[1].write_text(f"{rows[0]['uid']}\nhttp://Images.Example.ORG:80/cat.jpg\n")
    counts = run(replace(config, remove=tuple(map(str, lists)), opt_out="flag"), spark).counts
    assert {name: count for name, count in counts.items() if "removed" in name} == {
        "dropped_removed_by_uid": 60,
        "dropped_removed_by_url": 340,
        "dropped_removed_by_hash": 95,
    }
    assert counts["rows_in"] == counts.get("rows_out", 0) + sum(n for name, n in counts.items() if name.startswith("dropped_"))
    printed = capsys.readouterr().out
    assert "on a removal list by uid" in printed
    assert "on a removal list by hash of URL" in printed


def test_a_resumed_run_knows_the_lists_again_and_leaves_no_copy_of_them(spark, config, tmp_path):
    asked = tmp_path / "asked.txt"
    asked.write_text("d.example.net\n")
    config = replace(config, remove=(str(asked),))
    whole = run(config, spark)
    before = data_of(config.out)
    (Path(config.out) / "_parts" / "part-00001.json").unlink()
    assert run(config, spark).counts == whole.counts
    assert data_of(config.out) == before
    assert not (Path(config.out) / "_needed").exists()


def test_a_broken_list_is_told_before_the_folder_is_made(config, tmp_path):
    asked = tmp_path / "asked.txt"
    asked.write_text("example.org\nco.uk\n")
    with pytest.raises(UserError, match=r"asked\.txt:2: 'co\.uk' is a public suffix"):
        run(replace(config, remove=(str(asked),)))
    assert not Path(config.out).exists()


def test_what_opts_out_and_is_kept_is_printed_below_the_pool(spark, config, capsys):
    run(replace(config, opt_out="flag"), spark)
    assert [line.split() for line in capsys.readouterr().out.splitlines() if "flagged" in line] == [
        ["flagged", "in", "it:", "page", "opts", "out:", "noai", "10"]
    ]


def test_more_partitions_than_pairs_give_no_empty_files(spark, config):
    manifest = run(replace(config, partitions=1000), spark)
    assert manifest.counts["rows_out"] == 285
    assert len(manifest.parts) == 1000
    assert all(pq.read_metadata(Path(config.out) / name).num_rows for name in data_of(config.out))


@pytest.mark.parametrize("wrong", [{"sample": 0.0}, {"sample": 1.5}, {"partitions": 0}, {"max_text_chars": 0}])
def test_an_option_out_of_range_is_refused(config, wrong):
    with pytest.raises(UsageError, match="must be"):
        replace(config, **wrong)


def test_a_folder_without_candidates_is_named(config, tmp_path):
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(UserError, match=f"{folder}: no candidates"):
            run(replace(config, candidates=str(folder)))


def test_a_part_that_cannot_be_written_is_told_in_one_line(spark, config):
    in_the_way = Path(config.out) / "part-00001.parquet" / "x"
    in_the_way.mkdir(parents=True)
    with pytest.raises(UserError, match=r"^pool: Spark gave up: IsADirectoryError: .*run the same command again") as caught:
        run(config, spark)
    assert "\n" not in str(caught.value)
    in_the_way.rmdir()
    in_the_way.parent.rmdir()
    assert run(config, spark).counts["rows_out"] == 285


@pytest.mark.slow
def test_the_embedded_spark_uses_as_many_cores_as_workers_are_asked_for(config, tmp_path):
    events, settings = tmp_path / "events", tmp_path / "settings"
    events.mkdir()
    settings.mkdir()
    said = {"enabled": "true", "compress": "false", "dir": events.as_uri()}
    (settings / "spark-defaults.conf").write_text("".join(f"spark.eventLog.{name} {value}\n" for name, value in said.items()))
    words = ["pool", "--candidates", config.candidates, "--out", config.out, "--partitions", "2", "--workers", "3"]
    command = [sys.executable, "-m", "pipeline.cli", *words]
    subprocess.run(command, env={**os.environ, "SPARK_CONF_DIR": str(settings)}, check=True, capture_output=True, timeout=120)
    told = "".join(path.read_text() for path in events.rglob("*") if path.is_file())
    assert '"spark.master":"local[3]"' in told


@pytest.mark.slow
def test_killed_in_the_middle_and_run_again_the_pool_is_the_same(spark, tmp_path, row, write):
    rows = [[row(text=f"cat {n} in file {f}") for n in range(2000)] for f in range(4)]
    candidates = write(tmp_path / "candidates", *rows)
    config = PoolConfig(candidates=candidates, out=str(tmp_path / "pool"), partitions=200)
    command = [
        sys.executable,
        "-m",
        "pipeline.cli",
        "pool",
        "--candidates",
        candidates,
        "--out",
        config.out,
        "--partitions",
        "200",
    ]
    ledger = Path(config.out) / "_parts"
    with subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while len(list(ledger.glob("*.json"))) < 5 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
    done = len(list(ledger.glob("*.json")))
    assert 5 <= done < 200
    manifest = run(config, spark)
    assert done <= manifest.parts_resumed < 200  # a worker that outlived the kill may have finished its part
    assert manifest.counts == {"rows_in": 8000, "rows_out": 8000}
    once = replace(config, out=str(tmp_path / "once"))
    run(once, spark)
    assert data_of(config.out) == data_of(once.out)
    assert json.loads((Path(config.out) / "_manifest.json").read_bytes())["counts"] == manifest.counts
