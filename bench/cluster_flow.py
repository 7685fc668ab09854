"""The stages that bench/cluster.sh runs, in order, with the options that both ways share: on the cluster, and as commands here.

A root is a folder or a URL; `Flow.words` says what a stage is told to read and write below it.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.places import REPOSITORY
from pipeline import io

STAGES = ("extract", "pool", "download", "score", "dedup", "filter")
FOLDERS = {
    "extract": "1_candidates",
    "pool": "2_pool",
    "download": "3_shards",
    "score": "4_scores",
    "dedup": "4_duplicates",
    "filter": "5_subsets",
}
# A WAT's rows tell where in a crawl it lies, when that stands in its path: then the same on both sides.
WATS = "crawl-data/DEMO/wat"
CHECKPOINT = "scoring_model.pt"
SUBSET = "cluster.npy"
_PROPERTIES = {"extract": "shuffle", "pool": "shuffle", "download": "fetch", "dedup": "shuffle", "filter": "shuffle"}


@dataclass(frozen=True, kw_only=True)
class Flow:
    """Where one run reads and writes: `inputs` holds the WATs and the scoring model, `root` what the stages make, `recipe` is on
    this machine's disk."""

    inputs: str
    root: str
    proxy: str
    recipe: Path

    def folder(self, stage: str) -> str:
        """Where a stage writes."""
        return io.join(self.root, FOLDERS[stage])

    def words(self, stage: str) -> list[str]:
        """The options of a stage."""
        at = {name: self.folder(name) for name in STAGES}
        model = f"--model demo --pretrained {io.join(self.inputs, CHECKPOINT)} --column demo --precision fp32 --batch-size 32"
        words = {
            "extract": f"--wat {io.join(self.inputs, WATS)} --out {at['extract']}",
            "pool": f"--candidates {at['extract']} --partitions 4 --out {at['pool']}",
            # Shards so small that two machines have something to divide.
            "download": f"--pool {at['pool']} --samples-per-shard 100 --image-size 256 --proxy {self.proxy}"
            f" --out {at['download']}",
            "score": f"--shards {at['download']} {model} --out {at['score']}",
            "dedup": f"--metadata {at['score']} --by semantic perceptual exact --clusters 16 --out {at['dedup']}",
            "filter": f"--recipe {self.recipe} --arch demo --metadata-dir {at['score']} --beside {at['dedup']}"
            f" --save-path {io.join(at['filter'], SUBSET)}",
        }
        return words[stage].split()


def script(stage: str) -> Path:
    """What spark-submit is given."""
    return REPOSITORY / "jobs" / f"{stage}.py"


def properties(stage: str) -> Path | None:
    """The settings of jobs/conf that go with it; `score` has none for machines without a GPU."""
    name = _PROPERTIES.get(stage)
    return REPOSITORY / "jobs" / "conf" / f"{name}.conf" if name else None


def run_here(flow: Flow, stage: str) -> str:
    """A stage as a command of this machine; its last line. Raises SystemExit where it fails."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # as on an executor with one core
    command = [sys.executable, "-m", "pipeline.cli", stage, *flow.words(stage)]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"webpairs {stage}: status {done.returncode}: {(done.stdout + done.stderr)[-2000:]}")
    return done.stdout.strip().splitlines()[-1]
