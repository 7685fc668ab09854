"""The benchmark of train: its input, its commands and its figures are what they say. Nothing is timed here."""

import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import score_device, score_shards, train_figures, train_gpu, train_runs, train_shards, train_sides
from bench.train_rank import SEEDS
from bench.train_shards import Pool
from bench.train_sides import Load, Place, open_clip, webpairs
from bench.tree import Cost
from pipeline import cli


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    """A pool of 256 pairs in two shards."""
    folder = tmp_path_factory.mktemp("pool")
    pictures = [score_shards.encoded("32", number) for number in range(4)]
    for number in range(2):
        score_shards.write_shard(folder, number, range(128 * number, 128 * (number + 1)), pictures)
    return Pool(kind="32", folder=folder, pairs=256)


def test_subsets_of_the_train_benchmark_are_shares_of_the_pool_that_differ(small: Pool):
    subsets = {name: np.load(small.subset(name)) for name in train_shards.SHARES}
    assert [len(subset) for subset in subsets.values()] == [256, 128, 77, 77, 77, 26]
    assert all(np.array_equal(subset, np.sort(subset)) for subset in subsets.values())
    assert len({subset.tobytes() for subset in subsets.values()}) == len(subsets)
    assert small.braces == f"{small.folder}/{{00000..00001}}.tar"


def in_this_process(command: list[str], **_: Any) -> Cost:
    """What a command of ours costs, run without a process of its own: those of the benchmarks take seconds to start."""
    assert command[:3] == [sys.executable, "-m", "pipeline.cli"]
    began = time.perf_counter()
    assert cli.main(command[3:]) == 0
    return Cost({"python": 1e-3}, time.perf_counter() - began)


def test_a_side_is_measured_from_nothing_and_on_what_stands(small: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(train_sides, "cost_of", in_this_process)
    place = Place(scratch=tmp_path, cores=os.sched_getaffinity(0))
    answers = train_sides.rounds_of([webpairs(1)], Load(small, 128, 256), place, rounds=1)
    assert sorted(path.name for path in (tmp_path / "ours").iterdir()) == ["again", "decoded", "short", "whole"]
    assert answers["ours"][0]["wall_s"] > 0
    assert train_figures.rows_of("256", answers)[0]["side"] == "ours"


def test_the_peer_reads_the_same_shards_and_sees_as_many_samples(small: Pool, tmp_path: Path):
    side = open_clip(2)
    words = dict(word.split("=", 1) for word in side.command(small, 1280, tmp_path) if "=" in word)
    assert (side.name, side.beside, words["--workers"]) == ("open_clip, 2 loaders", 2, "2")
    assert (words["--train-data"], words["--model"]) == (small.braces, "demo")
    assert int(words["--train-num-samples"]) * int(words["--epochs"]) == 1280


def test_what_is_measured_on_a_gpu_runs_without_one(small: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(train_gpu, "MODELS", {"demo": ""})
    monkeypatch.setattr(train_gpu, "cost_of", in_this_process)
    monkeypatch.setattr(train_gpu, "alone", lambda work, **arguments: score_device.WORKS[work](**arguments))
    card = train_gpu.Card(device="cpu", precision="fp32", batch_size=32, few=1, many=4, matrix_side=128, matrix_s=0.01)
    rows = train_gpu.measure(card, ["demo"], small, Place(scratch=tmp_path, cores={0}))
    found = {figure.key: figure.value for figure in train_gpu.figures(rows)}
    assert set(found) == set(train_gpu.nothing()) == {"gpu_images_per_s", "mfu", "gpu_busy"}
    assert rows[0]["GFLOP/image"] > 0
    stands = {"bench": "train", "x_open_clip": 3.0, "meaning": {"x_open_clip": "…"}, **train_gpu.nothing()}
    more = train_gpu.added(stands, rows)
    assert more["x_open_clip"] == 3
    assert set(more["meaning"]) == {"x_open_clip", *found}


def test_each_subset_is_resharded_once_and_trained_on_with_each_seed(
    small: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    ran: list[list[str]] = []

    def note(command: list[str]) -> None:
        ran.append(command)
        if "reshard" in command:
            in_this_process(command)

    monkeypatch.setattr(train_runs, "_run", note)
    subsets = [str(small.subset(name)) for name in ("half", "tenth")]
    asked = {"shards": str(small.folder), "subsets": subsets, "seeds": [0, 1], "workers": 1}
    train_runs.open_clip({**asked, "samples_seen": 128, "out": str(tmp_path), "eval_sets": ""})
    assert ["reshard" in command for command in ran] == [True, True, False, False, False, False]
    words = {word for command in ran for word in command}
    for name in ("half", "tenth"):
        assert f"--train-data={tmp_path}/resharded/{name}/{{00000000..00000000}}.tar" in words
        assert {f"--logs={tmp_path}/{name}_{seed}" for seed in (0, 1)} <= words


def run(wall_s: float, steady_per_s: float) -> dict[str, float]:
    costs = {"again_s": 1.0, "steady_cpu_ms": 1.0, "start_s": 1.0, "peak_pss_mb": 1.0, "per_s": 1.0}
    return {**costs, "wall_s": wall_s, "cpu_s": 2 * wall_s, "steady_per_s": steady_per_s}


def test_figures_of_the_train_benchmark_take_the_peer_s_fastest_loaders():
    answers = {
        "ours": [run(10, 400), run(12, 600)],
        "open_clip, 1 loader": [run(40, 100), run(40, 100)],
        "open_clip, 2 loaders": [run(30, 200), run(30, 200)],
    }
    assert train_figures.best_peer(answers) == "open_clip, 2 loaders"
    found = {figure.key: figure.value for figure in train_figures.figures_of({"256": answers, "96": answers}, 20_480, 4096)}
    assert found == {
        **{"x_open_clip": 2.5, "whole_x_open_clip": 2.75, "whole_cpu_x_open_clip": 2.75, "images_per_s": 500},
        **{"x_open_clip_96": 2.5, "whole_x_open_clip_96": 2.75, "whole_cpu_x_open_clip_96": 2.75, "images_per_s_96": 500},
    }


def test_runs_that_were_not_measured_are_told_of():
    ours = {"wall_s": 10.0, "cpu_s": 40.0, "runs": 12, "measured": 12}
    theirs = {"wall_s": 90.0, "cpu_s": 200.0, "runs": 12, "measured": 4}
    first, *rest = train_figures.rank_figures(ours, theirs, 20_480)
    assert (first.key, first.value) == ("rank_x_open_clip", 9)
    assert "4 measured, times the rest" in first.meaning
    assert [figure.value for figure in rest] == [5, 10]
    assert len(SEEDS) * len(train_shards.SHARES) == 12
