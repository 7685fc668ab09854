"""What the options of `webpairs train` mean: the rate's course, the losses, the scales, the metrics that are written."""

import json
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.clip import load_clip
from pipeline.train import TrainConfig, metrics, run
from pipeline.train.choices import choices
from pipeline.train.loop import Step
from pipeline.train.reference import checkpoint_name, run_folder, time_steps
from pipeline.train.scales import SCALES
from pipeline.train.schedule import learning_rate
from schemas.errors import UsageError, UserError

# isort: split
from open_clip_train.scheduler import const_lr_cooldown


def config(**options):
    return TrainConfig(**{"shards": "s", "subset": "s.npy", "scale": "demo", "out": "o", "device": "cpu", **options})


@pytest.fixture
def short(shards, whole, tmp_path):
    """A function: options → the folder of a run of two small steps."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def go(**options):
        told = config(
            **{"shards": str(shards), "subset": whole, "out": str(tmp_path), "samples_seen": 16, "batch_size": 8, **options}
        )
        run(told)
        return Path(run_folder(told))

    yield go
    torch.set_num_threads(threads)


steps = st.integers(1, 500)


@given(n_steps=steps, warmup=st.integers(0, 600), cooldown=st.floats(0, 1))
def test_the_rate_is_that_of_open_clips_const_cooldown(n_steps, warmup, cooldown):
    class Optimizer:
        param_groups = ()

    theirs = const_lr_cooldown(Optimizer(), 1e-3, warmup, n_steps, round(n_steps * cooldown))
    for step in range(n_steps):
        found = learning_rate(step, peak=1e-3, warmup_steps=warmup, n_steps=n_steps, cooldown=cooldown)
        assert found == pytest.approx(theirs(step), rel=1e-9)


@given(n_steps=steps, warmup=st.integers(0, 600), cooldown=st.floats(0, 1))
def test_the_rate_rises_stays_and_falls_and_is_never_0_nor_above_its_peak(n_steps, warmup, cooldown):
    rates = [learning_rate(s, peak=2.0, warmup_steps=warmup, n_steps=n_steps, cooldown=cooldown) for s in range(n_steps)]
    assert all(0 < rate <= 2 for rate in rates)
    rising = rates[: min(warmup, n_steps)]
    assert rising == sorted(rising)
    assert rates[len(rising) :] == sorted(rates[len(rising) :], reverse=True)


@given(n_steps=steps, warmup=st.integers(0, 20))
def test_without_a_cooldown_the_rate_hangs_on_the_step_only_so_that_a_shorter_budget_is_a_beginning(n_steps, warmup):
    longer = [learning_rate(s, peak=1.0, warmup_steps=warmup, n_steps=2 * n_steps) for s in range(n_steps)]
    assert longer == [learning_rate(s, peak=1.0, warmup_steps=warmup, n_steps=n_steps) for s in range(n_steps)]


PUBLISHED = {  # model, samples, batch, rate, warm-up, beta2
    "small": ("ViT-B-32", 12_800_000, 4096, 5e-4, 500, 0.98),
    "medium": ("ViT-B-32", 128_000_000, 4096, 5e-4, 500, 0.98),
    "large": ("ViT-B-16", 1_280_000_000, 8192, 5e-4, 500, 0.98),
    "xlarge": ("ViT-L-14", 12_800_000_000, 90_112, 1e-3, 10_000, 0.95),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_datacomps_scales_have_the_published_hyper_parameters(name):
    found = SCALES[name]
    told = (found.model, found.samples_seen, found.batch_size, found.learning_rate, found.warmup_steps, found.beta2)
    assert told == PUBLISHED[name]
    assert (found.beta1, found.epsilon, found.weight_decay, found.crop_scale) == (0.9, 1e-6, 0.2, 0.9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 1}, "--batch-size 1: must be 2 or more"),
        ({"accumulate": 0}, "--accumulate 0: must be 1 to the batch size, 128"),
        ({"accumulate": 129}, "--accumulate 129: must be 1 to the batch size, 128"),
        ({"cooldown": 1.5}, "--cooldown 1.5: must be 0 to 1"),
        ({"cooldown": -0.1}, "--cooldown -0.1: must be 0 to 1"),
        ({"checkpoints": (0.5, 0.0)}, "--checkpoints 0.0: must be more than 0 and at most 1"),
        ({"checkpoints": (1.5,)}, "--checkpoints 1.5: must be more than 0 and at most 1"),
        ({"state_every_s": -1.0}, "--state-every-s -1.0: must be 0 or more"),
        ({"batch_size": 256, "samples_seen": 255}, "--samples-seen 255: less than one batch of scale demo \\(256 samples\\)"),
        ({"tensorboard": True, "out": "s3://bucket/models"}, "--tensorboard: writes to local folders only"),
    ],
)
def test_an_option_out_of_bounds_is_told_with_its_value_and_bound(options, message):
    with pytest.raises(UsageError, match=message):
        choices(config(**options))


def test_steps_are_timed_without_a_run_being_written(shards, whole, tmp_path):
    found = time_steps(config(shards=str(shards), subset=whole, out=str(tmp_path), batch_size=8), n_steps=3)
    assert found.batch_size == 8
    assert 0 < found.seconds_per_step < 60
    assert 0 <= found.seconds_to_start < 60
    assert [path.name for path in tmp_path.iterdir()] == ["_decoded"]
    with pytest.raises(UsageError, match="0 steps to time"):
        time_steps(config(), n_steps=0)


def test_the_sigmoid_loss_begins_as_published_and_its_checkpoint_loads_into_the_plain_model(short):
    folder = short(loss="siglip", samples_seen=8)
    told = json.loads((folder / "train.json").read_text())
    assert told["hyper_parameters"]["loss"] == "siglip"
    weights = load_clip("demo", str(folder / checkpoint_name(8))).model.state_dict()
    # Zhai et al. 2023, section 4: log 10 and -10, of which one step at a tenth of the rate moves them by 0.0001.
    assert float(weights["logit_scale"]) == pytest.approx(2.302585, abs=2e-4)
    assert float(weights["logit_bias"]) == pytest.approx(-10, abs=2e-4)


def test_auto_takes_the_loss_that_the_model_was_made_for():
    assert choices(config()).loss == "clip"
    assert choices(config(model="ViT-B-16-SigLIP")).loss == "siglip"
    assert choices(config(model="ViT-B-16-SigLIP", loss="clip")).loss == "clip"


def test_checkpoints_batch_size_and_what_a_run_costs_stand_in_its_description(short):
    folder = short(checkpoints=(0.25, 0.5), samples_seen=39, accumulate=1)
    told = json.loads((folder / "train.json").read_text())
    assert told["checkpoints"] == [8, 16, 32]
    assert sorted(path.name for path in folder.glob("*.pt")) == [checkpoint_name(seen) for seen in (8, 16, 32)]
    assert (told["samples_seen"], told["hyper_parameters"]["batch_size"]) == (32, 8)
    assert told["repeats"] == pytest.approx(32 / 199)
    assert told["flops_per_sample"] > 1e6
    assert told["peak_memory_bytes"] > 1e6


def step(number, loss):
    return Step(step=number, samples_seen=number * 8, loss=torch.tensor(loss), lr=0.1, images_per_s=1.0)


def test_metrics_are_whole_lines_while_the_run_goes_on_and_go_on_from_those_before(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"st')  # what a killed run left behind its last state
    found = metrics.Metrics(str(tmp_path), [{"step": 1}])
    found.add(step(2, 0.5))
    assert path.read_text() == '{"step": 1}\n'
    found.add(step(3, 0.25))
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2]
    found.close()
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2, 3]


def test_a_loss_that_is_no_number_ends_the_run_and_is_not_saved(short, monkeypatch):
    monkeypatch.setattr("pipeline.train.loop.Trainer.step", lambda *_: torch.tensor(float("nan")))
    with pytest.raises(UserError, match="step 1: the loss is nan; training diverged"):
        short()


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("[enforce fail] can't allocate memory")]
)
def test_a_batch_that_does_not_fit_is_told_with_what_to_do(short, monkeypatch, error):
    def full(*_):
        raise error

    monkeypatch.setattr("pipeline.train.loop.Objective.__call__", full)
    with pytest.raises(UserError, match=r"8 pairs at a time of demo, of a batch of 8, do not fit .* --accumulate 2 or more"):
        short()


def test_tensorboard_shows_what_metrics_tell(short):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = short(tensorboard=True)
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    losses = [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [event.value for event in events.Scalars("train/loss")] == pytest.approx(losses)


def test_tensorboard_that_is_not_installed_is_told_with_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UserError, match=r"--tensorboard: .* is not installed; pip install 'webpairs\[tensorboard\]'"):
        metrics.Metrics(str(tmp_path), tensorboard=True)
