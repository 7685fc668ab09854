"""Several processes that torchrun starts train one model: as one process would, and with one set of files."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.cli import main
from pipeline.train import TrainConfig, reference
from pipeline.train.distributed import Processes, joined
from schemas.errors import UsageError, UserError

STEPS, BATCH = 24, 16
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def torchrun(*words, processes=2):
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), *words]
    return subprocess.run([sys.executable, *launch], check=False, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def told(shards, whole, tmp_path_factory):
    """The options of a short run, but for its folder. All share one decoded pool."""
    decoded = str(tmp_path_factory.mktemp("decoded"))
    return {
        "shards": str(shards),
        "subset": whole,
        "scale": "demo",
        "device": "cpu",
        "samples_seen": STEPS * BATCH,
        "batch_size": BATCH,
        "seed": 3,
        "decoded": decoded,
    }


def words(told):
    return ["train", *(word for name, value in told.items() for word in (f"--{name}", str(value)))]


def result(told):
    folder = Path(reference.run_folder(TrainConfig(**told)))
    losses = np.array([json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()])
    return losses, torch.load(folder / reference.checkpoint_name(STEPS * BATCH), weights_only=True)["state_dict"], folder


def test_two_processes_train_as_one_does(told, tmp_path):
    one, two = ({**told, "out": str(tmp_path / name)} for name in ("one", "two"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    assert main(words(one)) == 0
    torch.set_num_threads(threads)
    done = torchrun("-m", "pipeline.cli", *words({**two, "state_every_s": 0}))
    assert done.returncode == 0, done.stderr
    (losses, weights, alone), (found, their_weights, together) = result(one), result(two)
    assert len(found) == STEPS
    assert np.abs(found / losses - 1).max() < 1e-4
    assert all(torch.allclose(weights[name], their_weights[name], rtol=0, atol=0.02) for name in weights)
    assert sorted(path.name for path in alone.glob("*")) == sorted(path.name for path in together.glob("*"))
    assert json.loads((together / "train.json").read_text())["processes"] == 2
    assert done.stdout.count("train: ") == 1  # the first process alone tells
    assert "Warning" not in done.stderr


def test_two_processes_find_a_run_that_is_done_and_an_error_of_the_first_ends_both(told, tmp_path):
    settings = {**told, "samples_seen": BATCH, "out": str(tmp_path)}
    assert main(words(settings)) == 0
    done = torchrun("-m", "pipeline.cli", *words(settings))
    assert done.returncode == 0, done.stderr
    manifest = json.loads((Path(reference.run_folder(TrainConfig(**settings))) / "_manifest.json").read_text())
    assert manifest["parts_resumed"] == 1
    refused = torchrun("-m", "pipeline.cli", *words({**settings, "batch_size": BATCH // 2}))  # the second waits for the first
    assert refused.returncode != 0
    assert "made with another configuration (batch_size: 16 there, 8 now" in refused.stderr


@pytest.mark.parametrize(("batch_size", "world", "accumulate", "nearest"), [(15, 2, 1, 16), (4096, 3, 1, 4095), (2, 4, 4, 16)])
def test_a_batch_is_cut_into_equal_parts_or_refused(batch_size, world, accumulate, nearest):
    with pytest.raises(UsageError, match=f"nearest: {nearest}$"):
        Processes(world=world).require_even(batch_size, accumulate)
    Processes(world=world).require_even(nearest, accumulate)


@pytest.mark.parametrize(
    ("device", "environment", "message"),
    [
        ("auto", {"RANK": "0", "WORLD_SIZE": "2"}, "no MASTER_ADDR and MASTER_PORT"),
        ("auto", {"RANK": "0", "WORLD_SIZE": "two"}, "WORLD_SIZE=two"),
        ("cuda:0", {"RANK": "0", "WORLD_SIZE": "2"}, "names one GPU for all"),
    ],
)
def test_a_launch_that_cannot_work_is_told(device, environment, message):
    with pytest.raises(UserError, match=message), joined(device, environment):
        pass


class FoundElsewhere(Processes):
    """Two processes, of which the other one found other pairs."""

    def from_each(self, value):
        return [value, "other"]


def test_processes_that_found_different_pairs_do_not_train(whole):
    with pytest.raises(UserError, match=r"its pairs are not the same in all 2 processes"):
        reference._require_same_pairs(FoundElsewhere(world=2), np.load(whole), whole)


def test_one_process_joins_nobody():
    with joined("cpu", {"RANK": "0", "WORLD_SIZE": "1"}) as (here, device):
        assert (here, device) == (Processes(), "cpu")
        assert (here.from_first(3), here.from_each(3), float(here.mean(torch.tensor(3.0)))) == (3, [3], 3.0)
