"""A run that is killed goes on, when the same command runs again, as if nothing had happened: bit by bit."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.train import TrainConfig, choices, reference, run
from pipeline.train.state import State, newest_state, write_state
from schemas.errors import UserError

STEPS, BATCH = 8, 8


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def config(shards, whole, tmp_path_factory):
    """A function: folder of the models, and options → the config of a short run. All share one decoded pool."""
    decoded = str(tmp_path_factory.mktemp("decoded"))

    def make(out, **options):
        settings = {
            "subset": whole,
            "samples_seen": STEPS * BATCH,
            "batch_size": BATCH,
            "seed": 3,
            "decoded": decoded,
            "state_every_s": 0.0,
        }
        return TrainConfig(shards=str(shards), scale="demo", out=str(out), device="cpu", **{**settings, **options})

    return make


@pytest.fixture(scope="module")
def uninterrupted(config, tmp_path_factory):
    """The folder of a run that nothing happened to."""
    settings = config(tmp_path_factory.mktemp("whole"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    run(settings)
    torch.set_num_threads(threads)
    return Path(reference.run_folder(settings))


def lines(folder):
    """The lines of metrics.jsonl without what depends on the clock."""
    return [{**json.loads(line), "images_per_s": None} for line in (folder / "metrics.jsonl").read_text().splitlines()]


def weights(folder, samples_seen=STEPS * BATCH):
    return torch.load(folder / reference.checkpoint_name(samples_seen), weights_only=True)["state_dict"]


def assert_same(folder, other):
    assert lines(folder) == lines(other)
    assert sorted(path.name for path in folder.glob("*")) == sorted(path.name for path in other.glob("*"))
    for seen in (STEPS * BATCH // 2, STEPS * BATCH):
        one, two = weights(folder, seen), weights(other, seen)
        assert all(torch.equal(one[name], two[name]) for name in one)


def broken_off(settings, monkeypatch, *, after):
    """Run until `after` states stand, and stop there as a kill would: nothing is tidied up. The run's folder."""
    written = []

    def keep(folder, state):
        write_state(folder, state)
        written.append(state.step)
        if len(written) == after:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(reference, "write_state", keep)
        with pytest.raises(KeyboardInterrupt):
            run(settings)
    return Path(reference.run_folder(settings))


def states(folder):
    return sorted(folder.glob("_state_*"))


def test_a_run_that_is_killed_ends_with_the_weights_and_metrics_of_one_that_is_not(config, uninterrupted, tmp_path):
    settings = config(tmp_path)
    told = ("shards", "subset", "scale", "out", "device", "samples_seen", "batch_size", "seed", "decoded", "state_every_s")
    options = [word for name in told for word in (f"--{name}", str(getattr(settings, name)))]
    folder = Path(reference.run_folder(settings))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen([sys.executable, "-m", "pipeline.cli", "train", *options], env=environment) as process:
        while process.poll() is None and len(states(folder)) < 2:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert 2 <= len(lines(folder)) < STEPS  # whole lines, there while it trained
    run(settings)
    assert_same(folder, uninterrupted)


@pytest.mark.parametrize("after", [1, STEPS - 1])
def test_a_run_goes_on_from_any_step(config, uninterrupted, tmp_path, monkeypatch, after):
    folder = broken_off(config(tmp_path), monkeypatch, after=after)
    assert newest_state(str(folder), reference.hash_of(json.loads((folder / "_config.json").read_bytes()))).step == after
    run(config(tmp_path))
    assert_same(folder, uninterrupted)


def test_the_two_newest_states_stand_while_it_runs_and_none_when_it_is_done(config, uninterrupted, tmp_path, monkeypatch):
    folder = broken_off(config(tmp_path), monkeypatch, after=3)
    assert [path.name for path in states(folder)] == ["_state_000000000002.pt", "_state_000000000003.pt"]
    assert states(uninterrupted) == []


def test_a_damaged_state_is_told_and_the_one_before_is_taken(config, uninterrupted, tmp_path, monkeypatch, capsys):
    folder = broken_off(config(tmp_path), monkeypatch, after=3)
    content = bytearray(states(folder)[-1].read_bytes())
    content[len(content) // 2] ^= 1
    states(folder)[-1].write_bytes(content)
    run(config(tmp_path))
    told = capsys.readouterr().err
    assert "_state_000000000003.pt: damaged" in told
    assert "going on after step 2" in told
    assert_same(folder, uninterrupted)


def test_a_run_begins_anew_where_no_state_is_whole(config, uninterrupted, tmp_path, monkeypatch, capsys):
    folder = broken_off(config(tmp_path), monkeypatch, after=3)
    for path in states(folder):
        path.write_bytes(path.read_bytes()[:-100])
    run(config(tmp_path))
    told = capsys.readouterr().err
    assert told.count("damaged") == 2
    assert "going on after" not in told
    assert_same(folder, uninterrupted)


def test_a_run_begins_anew_where_a_checkpoint_that_it_had_written_is_gone(config, uninterrupted, tmp_path, monkeypatch, capsys):
    folder = broken_off(config(tmp_path), monkeypatch, after=5)
    (folder / reference.checkpoint_name(STEPS * BATCH // 2)).unlink()
    run(config(tmp_path))
    assert "training anew" in capsys.readouterr().err
    assert_same(folder, uninterrupted)


def test_a_state_of_another_run_is_not_used(config, tmp_path, monkeypatch, capsys):
    other = broken_off(config(tmp_path / "a", seed=4), monkeypatch, after=3)
    own = broken_off(config(tmp_path / "b"), monkeypatch, after=2)
    states(other)[-1].rename(own / states(other)[-1].name)
    run(config(tmp_path / "b"))
    told = capsys.readouterr().err
    assert "of a run with another configuration" in told
    assert "going on after step 2" in told


@pytest.fixture
def small_files():
    """A disk on which no file may have more than 1 MB: a checkpoint has 18."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("small_files")
def test_a_full_disk_is_told_with_the_file_that_did_not_fit(config, tmp_path):
    settings = config(tmp_path)
    with pytest.raises(UserError, match=r"checkpoint_000000000008\.pt: cannot be written .*; make room"):
        run(settings)
    assert not [path for path in Path(reference.run_folder(settings)).iterdir() if path.suffix == ".pt"]
    state = State(identity="a", step=1, model={"w": torch.zeros(2**19)}, optimizer={}, random=[])
    with pytest.raises(UserError, match=r"cannot be written .*; make room"):
        write_state(str(tmp_path), state)


def test_a_subset_that_was_changed_while_the_pool_was_decoded_is_not_trained_on(config, whole, tmp_path, monkeypatch):
    (tmp_path / "subset.npy").write_bytes(Path(whole).read_bytes())

    def decoded(*args, real=choices.decoded_pool, **options):
        np.save(tmp_path / "subset.npy", np.load(whole)[:50])
        return real(*args, **options)

    monkeypatch.setattr(choices, "decoded_pool", decoded)
    with pytest.raises(UserError, match=r"subset\.npy: was changed while the pool was decoded"):
        run(config(tmp_path / "out", subset=str(tmp_path / "subset.npy")))


def test_a_state_file_that_is_no_state_is_none(tmp_path):
    (tmp_path / "_state_000000000009.pt").write_bytes(b"")
    (tmp_path / "_state_x.txt").write_bytes(b"")
    assert newest_state(str(tmp_path), "me") is None
    write_state(str(tmp_path), State(identity="me", step=3, model={}, optimizer={}, random=[]))
    assert newest_state(str(tmp_path), "me").step == 3
    assert newest_state(str(tmp_path), "you") is None
    assert newest_state(str(tmp_path / "not_there"), "me") is None
