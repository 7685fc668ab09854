"""--memory-gb: what it holds, what it refuses, and that a pool that does not fit is searched within it."""

import subprocess
import sys
import textwrap

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.dedup.budget import budget_for, spill_bytes
from schemas.errors import UsageError


def test_a_pool_that_fits_is_searched_at_once_and_a_larger_one_is_not():
    assert budget_for(4, n=1_000_000, d=768, clusters=1).all_at_once
    assert not budget_for(4, n=10_000_000, d=768, clusters=20).all_at_once
    assert not budget_for(1, n=1_000_000, d=768, clusters=1).all_at_once


def test_a_cluster_of_a_million_rows_fits_into_the_default_budget():
    assert budget_for(4, n=12_800_000, d=768, clusters=26).rows_at_once >= 1_000_000


def test_too_little_memory_is_refused_with_what_would_do():
    with pytest.raises(UsageError, match=r"--memory-gb 2: 100,000,000 rows of 512 dimensions need at least 3\.2"):
        budget_for(2, n=100_000_000, d=512, clusters=200)
    with pytest.raises(UsageError, match="need at least"):  # centroids are trained on a sample that would not fit
        budget_for(2, n=10_000_000, d=768, clusters=4472)


def test_a_row_lies_on_the_disk_once_for_each_of_its_clusters():
    assert spill_bytes(1000, 512, 1) == 1000 * (1024 + 4)
    assert spill_bytes(1000, 512, 7) == 2 * spill_bytes(1000, 512, 1)


MEASURED = """
    import re, sys
    from pathlib import Path
    from pipeline.dedup import DedupConfig, run
    metadata, out, memory_gb = sys.argv[1:]
    manifest = run(DedupConfig(metadata=metadata, out=out, clusters=8, memory_gb=float(memory_gb)))
    print(manifest.facts["semantic"]["spilled_rows"])
    print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""


def test_a_pool_larger_than_the_budget_stays_within_it(tmp_path):
    folder, n, d = tmp_path / "scores", 80_000, 256  # three files: 123 MB of embeddings, 310 MB with all that belongs to them
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(3):
        halves = rng.integers(0x3000, 0x3C00, (n, d), dtype=np.uint16) | rng.integers(0, 2, (n, d), dtype=np.uint16) << 15
        np.savez(folder / f"{number}.npz", l14_img=halves.view(np.float16))
        uids = [f"{number:016x}{row:016x}" for row in range(n)]
        pq.write_table(pa.table({"uid": uids}), folder / f"{number}.parquet")
    arguments = [str(folder), str(tmp_path / "out"), "0.55"]
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(MEASURED), *arguments], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    spilled, peak_kb = map(int, ran.stdout.split())
    assert spilled == 2 * 3 * n
    assert peak_kb * 1024 < 550_000_000
