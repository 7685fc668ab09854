"""What the pool says it cost: Spark's own count of the shuffle, against the files that the shuffle wrote."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.pool import PoolConfig, run
from pipeline.pool.moved import moved, tagged


@pytest.fixture
def config(tmp_path, row, write):
    rows = [row(text=f"cat number {number}") for number in range(3000)]
    return PoolConfig(
        candidates=write(tmp_path / "candidates", rows[:2000], rows[1000:]), out=str(tmp_path / "pool"), partitions=8
    )


def test_the_manifest_and_one_line_tell_rows_per_second_and_bytes_per_row(spark, config, capsys):
    cost = run(config, spark).facts["cost"]
    assert cost["shuffle_rows"] == 4000 + 2  # and a tally per file
    assert cost["shuffle_bytes_per_row"] == round(cost["shuffle_bytes"] / 4000, 1)
    assert cost["rows_per_s"] == pytest.approx(4000 / cost["wall_s"], abs=1)
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == (
        f"{cost['rows_per_s']:,} rows/s; {cost['shuffle_bytes'] / 2**20:,.1f} MiB through the shuffle, "
        f"{cost['shuffle_bytes_per_row']:,} bytes per candidate"
    )


def test_a_run_that_has_nothing_to_do_tells_no_cost(spark, config, capsys):
    run(config, spark)
    assert "cost" not in run(config, spark).facts
    assert "rows/s" not in capsys.readouterr().out.splitlines()[-1]


def test_only_the_shuffles_of_the_tagged_work_are_counted(spark):
    def shuffled(rows):
        return spark.range(rows).repartition(3, "id").collect()

    tag, work = tagged(spark, lambda: shuffled(1000))
    shuffled(500)
    assert len(work()) == 1000
    shuffled(500)
    assert moved(spark, tag).rows_written == 1000
    assert moved(spark, "no such tag").bytes_written == 0


def test_the_bytes_are_those_of_the_files_that_the_shuffle_wrote(config, tmp_path):
    """In a Spark of its own, whose folder is looked at while it stands."""
    program = (
        "import sys, glob, os\n"
        "from pipeline.spark import local_session\n"
        "from pipeline.pool import PoolConfig, run\n"
        "session = local_session(master='local[2]')\n"
        "cost = run(PoolConfig(candidates=sys.argv[1], out=sys.argv[2], partitions=8), session).facts['cost']\n"
        "files = glob.glob(os.environ['SPARK_LOCAL_DIRS'] + '/**/shuffle_*.data', recursive=True)\n"
        "print(cost['shuffle_bytes'], sum(map(os.path.getsize, files)))\n"
        "session.stop()\n"
    )
    words = [sys.executable, "-c", program, config.candidates, config.out]
    environment = {**os.environ, "SPARK_LOCAL_DIRS": str(tmp_path / "local")}
    ran = subprocess.run(words, env=environment, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3])
    told, written = map(int, ran.stdout.split()[-2:])
    assert told == written > 4000
