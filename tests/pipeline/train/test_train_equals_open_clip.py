"""Our loop and open_clip's own trainer, on the same model, data, order and hyper-parameters: the same losses, step by step."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.clip import load_clip
from pipeline.subset_file import read_subset
from pipeline.train import TrainConfig, run
from pipeline.train.decoded.pool import decoded_pool
from pipeline.train.feeding.batches import batches
from pipeline.train.feeding.order import Order, index_of
from pipeline.train.reference import run_folder
from pipeline.train.scales import SCALES

# isort: split
from open_clip_train import main as open_clip_main
from open_clip_train.data import DataInfo

BATCH, STEPS_PER_EPOCH, EPOCHS, SEED = 16, 10, 5, 3


@pytest.fixture(autouse=True)
def restored():
    """One thread, for these tiny matrices; and all loggers, which open_clip's trainer takes for its own, as they were."""
    loggers = [logging.root, *(logging.getLogger(name) for name in logging.root.manager.loggerDict)]
    levels, handlers = [logger.level for logger in loggers], list(logging.root.handlers)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
    for handler in set(logging.root.handlers) - set(handlers):
        logging.root.removeHandler(handler)
        handler.close()


class Loader:
    """Our batches of one epoch after another, as open_clip's trainer takes them."""

    num_batches, num_samples = STEPS_PER_EPOCH, BATCH * STEPS_PER_EPOCH

    def __init__(self, pool, subset):
        self.clip, self.pool, self.epoch = load_clip("demo", None), pool, 0
        self.order = Order(index_of(read_subset(subset), pool.uids), SEED)

    def __iter__(self):
        first = self.epoch * STEPS_PER_EPOCH
        return batches(self.clip, self.pool, self.order, first_step=first, n_steps=STEPS_PER_EPOCH, batch_size=BATCH)


class Data(DataInfo):
    def set_epoch(self, epoch):
        self.dataloader.epoch = epoch


@pytest.fixture(scope="module")
def pool(shards, tmp_path_factory):
    clip = load_clip("demo", None)
    root = str(tmp_path_factory.mktemp("decoded"))
    return decoded_pool(str(shards), root, image_size_px=clip.image_size_px, tokenizer=clip.tokenizer), root


@pytest.fixture
def theirs(pool, whole, tmp_path, monkeypatch):
    """A function: options of open_clip's trainer → its losses and its weights at the end. All but the data is its own."""

    losses = []

    class Writer:
        def __init__(self, folder):
            pass

        def add_scalar(self, name, value, step):
            if name == "train/loss":
                losses.append(value)

    def go(*options):
        monkeypatch.setattr(open_clip_main, "get_data", lambda *_, **__: {"train": Data(Loader(pool[0], whole))})
        monkeypatch.setattr(open_clip_main.tensorboard, "SummaryWriter", Writer)
        scale = SCALES["demo"]
        told = {
            "train-data": "ours",
            "model": "demo",
            "batch-size": BATCH,
            "epochs": EPOCHS,
            "seed": SEED,
            "precision": "fp32",
            "device": "cpu",
            "lr": scale.learning_rate,
            "beta1": scale.beta1,
            "beta2": scale.beta2,
            "eps": scale.epsilon,
            "wd": scale.weight_decay,
            "warmup": scale.warmup_steps,
            "lr-scheduler": "const",
            "log-every-n-steps": 1,
            "report-to": "tensorboard",
            "workers": 0,
            "logs": tmp_path,
            "name": "theirs",
        }
        open_clip_main.main([*(word for name, value in told.items() for word in (f"--{name}", str(value))), *options])
        saved = torch.load(tmp_path / "theirs/checkpoints" / f"epoch_{EPOCHS}.pt", weights_only=True)
        return np.array(losses), saved["state_dict"]

    return go


@pytest.fixture
def ours(shards, whole, pool, tmp_path):
    """A function: options of `webpairs train` → its losses and its weights at the end."""

    def go(**options):
        budget = {"samples_seen": BATCH * STEPS_PER_EPOCH * EPOCHS, "batch_size": BATCH}
        config = TrainConfig(
            shards=str(shards), subset=whole, scale="demo", seed=SEED, out=str(tmp_path), decoded=pool[1], **budget, **options
        )
        run(config)
        folder = Path(run_folder(config))
        losses = [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
        saved = torch.load(max(folder.glob("checkpoint_*.pt")), weights_only=True)
        return np.array(losses), saved["state_dict"]

    return go


def distance(weights, others):
    """How far two models are apart, as a share of the first's norm: AdamW makes steps of noise where a gradient is nearly 0."""
    names = [name for name, value in weights.items() if value.is_floating_point()]
    apart = sum(float((weights[name] - others[name]).square().sum()) for name in names)
    return np.sqrt(apart / sum(float(weights[name].square().sum()) for name in names))


@pytest.mark.parametrize(
    ("our_options", "their_options"),
    [
        ({}, []),
        ({"loss": "siglip"}, ["--siglip"]),
        ({"cooldown": 0.4}, ["--lr-scheduler", "const-cooldown", "--epochs-cooldown", "2"]),
    ],
    ids=["clip", "siglip", "cooldown"],
)
def test_the_losses_of_50_steps_are_those_of_open_clips_trainer(ours, theirs, our_options, their_options):
    found, weights = ours(**our_options)
    expected, their_weights = theirs(*their_options)
    assert len(found) == len(expected) == 50
    assert np.abs(found - expected).max() < 1e-3
    assert set(weights) == set(their_weights)
    assert distance(weights, their_weights) < 0.01
