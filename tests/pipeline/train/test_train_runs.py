"""webpairs train and evaluate on small drawn shards."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.clip import load_clip
from pipeline.manifest import manifest_from_json
from pipeline.train import TrainConfig, run
from pipeline.train.loop import optimizer_for
from pipeline.train.reference import run_folder
from pipeline.train.scales import SCALES, checkpoint_steps
from schemas.errors import UserError


@pytest.fixture(scope="module")
def train(shards, tmp_path_factory):
    """A function: subset path, folder and options → the run's folder and manifest. All runs share one decoded pool."""
    decoded = str(tmp_path_factory.mktemp("decoded"))

    def go(subset, out, **options):
        settings = {"scale": "demo", "samples_seen": 256, "seed": 3, "device": "cpu", "decoded": decoded, **options}
        config = TrainConfig(shards=str(shards), subset=subset, out=str(out), **settings)
        manifest = run(config)
        return Path(run_folder(config)), manifest

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # tiny matrices: threads only wait for one another
    yield go
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def first(train, whole, tmp_path_factory):
    """One run that several tests look at: its folder, its manifest, and the models' root."""
    root = tmp_path_factory.mktemp("models")
    return *train(whole, root), root


def losses(folder):
    return [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_run_leaves_checkpoints_metrics_and_its_description(first):
    folder, manifest, _ = first
    assert folder.parts[-3:] == ("no_filter", "demo", "seed_3")
    assert sorted(path.name for path in folder.glob("*.pt")) == ["checkpoint_000000000128.pt", "checkpoint_000000000256.pt"]
    told = json.loads((folder / "train.json").read_text())
    assert (told["filter"], told["model"], told["rows"], told["samples_seen"]) == ("no_filter", "demo", 199, 256)
    assert [json.loads(line)["samples_seen"] for line in (folder / "metrics.jsonl").read_text().splitlines()] == [128, 256]
    assert manifest.counts["rows_out"] == 199


def test_a_uid_that_is_not_in_the_shards_is_counted(first):
    _, manifest, _ = first
    assert (manifest.counts["rows_in"], manifest.counts["dropped_not_in_shards"]) == (200, 1)


def test_the_checkpoint_loads_into_the_model(first):
    clip = load_clip("demo", str(first[0] / "checkpoint_000000000256.pt"))
    assert clip.model.encode_text(clip.tokenizer(["a red square"])).shape == (1, 64)


def test_the_same_seed_gives_the_same_losses_and_weights(train, whole, first, tmp_path):
    a, (b, _) = first[0], train(whole, tmp_path)
    assert losses(a) == losses(b)
    one, other = (torch.load(f / "checkpoint_000000000256.pt", weights_only=True)["state_dict"] for f in (a, b))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_another_seed_gives_other_losses(train, whole, first, tmp_path):
    assert losses(first[0]) != losses(train(whole, tmp_path, seed=4)[0])


def test_the_loss_falls(train, whole, tmp_path):
    found = losses(train(whole, tmp_path, samples_seen=1536)[0])
    assert np.mean(found[-3:]) < np.mean(found[:3])


def test_a_finished_run_is_not_trained_again(train, whole, first):
    folder, _, root = first
    before = (folder / "train.json").stat().st_mtime_ns
    _, manifest = train(whole, root)
    assert manifest.parts_resumed == 1
    assert (folder / "train.json").stat().st_mtime_ns == before
    assert manifest_from_json((folder / "_manifest.json").read_bytes()).counts["rows_out"] == 199


def test_a_run_is_refused_when_the_subset_changed_under_its_name(train, subset, tmp_path):
    train(subset(range(200)), tmp_path, samples_seen=128)
    with pytest.raises(UserError, match="another configuration"):
        train(subset(range(100)), tmp_path, samples_seen=128)


@pytest.mark.parametrize("name", ["../../a b", "/etc", "..", "."])
def test_a_filter_name_never_leaves_the_models_folder(name):
    folder = run_folder(TrainConfig(shards="s", subset="s.npy", scale="demo", out="/models", filter_name=name))
    assert Path(folder).parent.parent.parent == Path("/models")
    assert ".." not in Path(folder).parts


def test_bf16_trains_on_a_cpu_too(train, whole, tmp_path):
    assert all(np.isfinite(losses(train(whole, tmp_path, precision="bf16", samples_seen=128)[0])))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": "huge"}, "no such scale"),
        ({"samples_seen": 100}, "less than one batch"),
        ({"samples_seen": 0}, "less than one batch"),
        ({"seed": -1}, "0 or more"),
        ({"model": "demmo"}, "no such model"),
    ],
)
def test_options_that_will_not_do_are_told_in_one_line(train, whole, tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        train(whole, tmp_path, **options)


def test_a_subset_of_other_shards_is_told_in_one_line(train, subset, tmp_path):
    with pytest.raises(UserError, match="none of its 2 uids"):
        train(subset([1000, 1001]), tmp_path)


def test_every_published_scale_ends_at_its_budget():
    for scale in SCALES.values():
        steps = checkpoint_steps(scale, scale.samples_seen)
        assert steps == sorted(set(steps))
        assert steps[-1] == scale.samples_seen // scale.batch_size


def test_gains_biases_and_the_logit_scale_are_not_decayed(demo_clip):
    model = demo_clip.model
    kept, decayed = optimizer_for(model, SCALES["demo"]).param_groups
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert (kept["weight_decay"], decayed["weight_decay"]) == (0.0, SCALES["demo"].weight_decay)
    assert "logit_scale" in {names[id(parameter)] for parameter in kept["params"]}
    assert {"token_embedding.weight", "text_projection"} <= {names[id(parameter)] for parameter in decayed["params"]}
    assert all(parameter.ndim > 1 for parameter in decayed["params"])
