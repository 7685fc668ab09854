"""webpairs train --engine open_clip: open_clip's own trainer on a resharded subset, its model in our layout."""

import importlib.util
import io
import json
import shlex
import sys
import tarfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline.evaluate import EvaluateConfig
from pipeline.evaluate import run as evaluate
from pipeline.train import TrainConfig
from pipeline.train.choices import choices, run_folder
from pipeline.train.open_clip_trainer import engine as open_clip_engine
from pipeline.train.open_clip_trainer.command import OpenClipPlan, plan_of, shards_in_braces, trainer_command
from pipeline.train.open_clip_trainer.engine import train
from pipeline.train.open_clip_trainer.log import read_log
from pipeline.train.open_clip_trainer.subset import require_usable
from schemas.errors import UsageError, UserError
from tests.pipeline.train.conftest import picture, write_shard, write_subset

pytest.importorskip("webdataset")
pytest.importorskip("braceexpand")


def config_of(shards, subset, out, **options):
    """The config of a small run with open_clip's trainer."""
    settings = {"scale": "demo", "samples_seen": 256, "seed": 3, "device": "cpu", "engine": "open_clip", **options}
    return TrainConfig(shards=str(shards), subset=subset, out=str(out), **settings)


def plan(**options):
    """A plan of one process on a CPU: 2 epochs of 8 batches of 4, 2 loaders."""
    numbers = {"processes": 1, "batch_size": 4, "accumulate": 1, "loaders": 2, "epochs": 2, "epoch_samples": 32, "saved": (2,)}
    return OpenClipPlan(**{"device": "cpu", **numbers, **options})


def command_of(config, **changes):
    run = choices(config)
    return trainer_command(config, run, replace(plan_of(config, run), **changes), train_data="/s/{0..1}.tar", logs="/logs")


@pytest.fixture(scope="module")
def trained(shards, whole, tmp_path_factory):
    """A dry run, then the run: its folder, what the dry run printed, the commands that were run, the manifests."""
    out = tmp_path_factory.mktemp("models with 'odd' $(name)")
    config = config_of(shards, whole, out, checkpoints=(0.5,))
    said, ran, follow = io.StringIO(), [], open_clip_engine._follow
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(open_clip_engine, "_follow", lambda command: (ran.append(command), follow(command)))
        patch.setattr(sys, "stdout", said)
        train(replace(config, dry_run=True))
        assert [path.name for path in Path(config.out).iterdir()] == []
        manifests = [train(config), train(config)]
    return Path(run_folder(config)), said.getvalue(), ran, manifests


@pytest.mark.slow
def test_the_trainer_s_model_stands_in_our_layout(trained):
    folder, _, _, (manifest, _) = trained
    assert sorted(path.name for path in folder.glob("*.pt")) == ["checkpoint_000000000128.pt", "checkpoint_000000000256.pt"]
    told = json.loads((folder / "train.json").read_text())
    assert (told["filter"], told["model"], told["rows"], told["samples_seen"]) == ("no_filter", "demo", 200, 256)
    assert (told["engine"], told["repeats"], told["open_clip"]["loaders"]) == ("open_clip", 1.28, 1)
    assert told["flops_per_sample"] > 1e6
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], line["samples_seen"]) for line in lines] == [(1, 128), (2, 256)]
    assert all(line["images_per_s"] > 0 for line in lines)
    assert manifest.counts == {"rows_in": 200, "rows_out": 200, "dropped_not_in_shards": 0, "samples_seen": 256}
    assert not list(folder.rglob("epoch_*.pt"))


@pytest.mark.slow
def test_what_a_dry_run_prints_is_what_is_run_word_by_word(trained):
    _, said, ran, _ = trained
    resharding, training = said.splitlines()
    assert [shlex.split(training)] == ran
    assert shlex.split(resharding)[1:4] == ["-m", "pipeline.cli", "reshard"]


@pytest.mark.slow
def test_a_finished_run_is_not_trained_again(trained):
    _, _, ran, (_, again) = trained
    assert (len(ran), again.parts_resumed) == (1, 1)


@pytest.mark.slow
def test_evaluate_reads_what_the_trainer_made(trained, tmp_path):
    folder = trained[0]
    pictures = io.BytesIO()
    Image.new("RGB", (40, 40), (220, 40, 40)).save(pictures, "JPEG")
    rows = [{"image": pictures.getvalue(), "text": f"square {at}"} for at in range(4)]
    pq.write_table(pa.Table.from_pylist([{"jpg": row["image"], "text": row["text"]} for row in rows]), tmp_path / "ret_x.parquet")
    manifest = evaluate(EvaluateConfig(model=str(folder), eval=str(tmp_path), device="cpu"))
    assert manifest.counts["results"] == 2
    assert {json.loads(line)["samples_seen"] for line in (folder / "results.jsonl").read_text().splitlines()} == {128, 256}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # more loaders than this machine has cores
@pytest.mark.parametrize(("samples", "batch", "loaders", "processes"), [(256, 32, 1, 1), (1000, 32, 3, 1), (12_800, 96, 4, 2)])
def test_steps_are_counted_as_the_trainer_s_own_loader_counts_them(samples, batch, loaders, processes, tmp_path):
    from open_clip_train.data import get_wds_dataset

    numbers = {"batch_size": batch, "workers": loaders, "world_size": processes, "train_num_samples": samples}
    data = {"train_data": f"{tmp_path}/{{0..7}}.tar", "dataset_resampled": True, "train_data_upsampling_factors": None, "seed": 0}
    loader = get_wds_dataset(SimpleNamespace(**numbers, **data), None, True, tokenizer=None).dataloader
    made = plan(epoch_samples=samples, batch_size=batch, loaders=loaders, processes=processes)
    assert (made.steps_per_epoch, made.samples_after(1)) == (loader.num_batches, loader.num_samples)


@pytest.mark.slow
def test_the_trainer_is_given_datacomp_s_numbers_for_a_published_scale(shards, whole, tmp_path):
    from open_clip_train.params import parse_args

    config = config_of(shards, whole, tmp_path, scale="medium", samples_seen=None, workers=4)
    words = command_of(config)
    found = parse_args(words[words.index("pipeline.train.open_clip_trainer.main") + 1 :])
    assert (found.model, found.batch_size, found.lr, found.warmup, found.wd) == ("ViT-B-32", 4096, 5e-4, 500, 0.2)
    assert (found.beta1, found.beta2, found.eps, found.lr_scheduler) == (0.9, 0.98, 1e-6, "cosine")
    assert (found.epochs, found.train_num_samples, found.save_frequency) == (5, 25_600_000, 0)
    switches = (
        "ddp_static_graph",
        "local_loss",
        "gather_with_grad",
        "grad_checkpointing",
        "dataset_resampled",
        "save_most_recent",
    )
    assert all(getattr(found, name) for name in switches)
    assert (found.resume, found.precision, found.dataset_type, found.accum_freq) == ("latest", "fp32", "webdataset", 1)


def test_several_gpus_are_given_to_torchrun(shards, whole, tmp_path):
    words = command_of(config_of(shards, whole, tmp_path), processes=4)
    assert words[1:6] == ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=4", "-m"]


def test_the_sigmoid_loss_is_the_trainer_s_own(shards, whole, tmp_path):
    assert "--siglip" in command_of(config_of(shards, whole, tmp_path, loss="siglip"))
    assert "--siglip" not in command_of(config_of(shards, whole, tmp_path))


def test_a_batch_is_divided_among_processes_and_parts(shards, whole, tmp_path):
    config = config_of(shards, whole, tmp_path, accumulate=2)
    made = plan_of(config, choices(config))
    assert (made.batch_size, made.steps_per_epoch, made.samples_after(2)) == (64, 1, 256)


def test_a_trainer_that_fails_is_told_with_its_last_lines():
    failing = "print('Train Epoch: 0'); print('I1121 23:34:51.469000 5294 a statistic'); raise ValueError('no such shard')"
    with pytest.raises(UserError, match=r"status 1: .*ValueError: no such shard$"):
        open_clip_engine._follow([sys.executable, "-c", failing])


def test_a_trainer_is_not_taken_for_one_of_the_processes_that_slurm_counts(monkeypatch):
    monkeypatch.setenv("SLURM_NTASKS", "2")
    open_clip_engine._follow([sys.executable, "-c", "import os; assert 'SLURM_NTASKS' not in os.environ"])


def test_without_its_packages_the_extra_is_named(monkeypatch, shards, whole, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "webdataset" else "found")
    with pytest.raises(UserError, match=r"needs webdataset; install the extra: pip install 'webpairs\[open_clip\]'"):
        train(config_of(shards, whole, tmp_path))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cooldown": 0.2}, "DataComp's cosine"),
        ({"checkpoints": (0.3,)}, "choose from 0.5, 1, the ends of its epochs"),
        ({"accumulate": 3}, "cannot be divided"),
        ({"model": "demmo"}, "no such model"),
    ],
)
def test_options_that_the_trainer_has_nothing_for_are_told(shards, whole, tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        train(config_of(shards, whole, tmp_path, **options))


def test_under_torchrun_it_is_refused(monkeypatch, shards, whole, tmp_path):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="start it once"):
        train(config_of(shards, whole, tmp_path))


@pytest.mark.parametrize("odd", ["a{b", "a}b", "a::b", "a\\b"])
def test_a_path_that_the_trainer_would_read_otherwise_is_refused(tmp_path, odd):
    with pytest.raises(UserError, match="its own syntax"):
        shards_in_braces(str(tmp_path / odd), 2)
    assert shards_in_braces(str(tmp_path / "a b;$(c)"), 2) == f"{tmp_path}/a b;$(c)/{{00000000..00000001}}.tar"


def test_a_subset_of_other_shards_is_told_in_one_line(shards, subset, tmp_path):
    with pytest.raises(UserError, match="none of its uids is in the shards"):
        train(config_of(shards, subset([1000, 1001]), tmp_path))


def log_line(epoch, samples, seconds, loss):
    speeds = "64.0/s, 64.0/s/gpu LR: 0.000100 Logit Scale: 14.286"
    part = f"[{samples:>3}/32 ({samples * 100 // 32}%)] Data (t): 0.563 Batch (t): {seconds:.3f}, {speeds}"
    return f"2026-01-01,00:00:00 | INFO | Train Epoch: {epoch} {part} Contrastive_loss: {loss} ({loss}) Loss: {loss} (5.0)\n"


@pytest.mark.slow
def test_a_subset_without_an_image_that_can_be_decoded_is_refused_before_the_trainer_looks_for_one(tmp_path, monkeypatch):
    (tmp_path / "shards").mkdir()
    write_shard(tmp_path / "shards", 0, range(5), broken=range(5))
    write_subset(tmp_path, range(5))
    monkeypatch.setattr(open_clip_engine, "_follow", lambda command: pytest.fail("was started"))
    with pytest.raises(UserError, match=r"none of its pairs has a \.txt and an image .* that can be decoded"):
        train(config_of(tmp_path / "shards", str(tmp_path / "no_filter.npy"), tmp_path / "out"))


def tar_of(path, *samples):
    with tarfile.open(path, "w") as tar:
        for number, sample in enumerate(samples):
            for suffix, content in sample.items():
                header = tarfile.TarInfo(f"{number}.{suffix}")
                header.size = len(content)
                tar.addfile(header, io.BytesIO(content))
    return str(path)


@pytest.mark.parametrize("sample", [{"jpg": picture(0)}, {"gif": picture(0), "txt": b"a"}, {"jpg": b"no image", "txt": b"a"}, {}])
def test_what_the_trainer_passes_over_is_no_pair_to_train_on(tmp_path, sample):
    nothing = tar_of(tmp_path / "0.tar", sample)
    with pytest.raises(UserError, match=r"one for ever"):
        require_usable([nothing], subset="s.npy")
    require_usable([nothing, tar_of(tmp_path / "1.tar", sample, {"jpg": picture(0), "txt": b""})], subset="s.npy")


def test_of_an_epoch_that_was_begun_twice_the_second_counts(tmp_path):
    first = log_line(0, 4, 2.0, 5.5) + log_line(0, 32, 1.0, 5.1) + log_line(1, 4, 9.0, 9.9)
    (tmp_path / "out.log").write_text(f"Model: …\n{first}" + log_line(1, 4, 2.0, 4.9) + log_line(1, 32, 1.0, 4.5))
    lines = read_log(tmp_path / "out.log", plan())
    assert [(line["step"], line["samples_seen"], line["loss"]) for line in lines] == [
        (1, 4, 5.5),
        (8, 32, 5.1),
        (9, 36, 4.9),
        (16, 64, 4.5),
    ]
    assert [line["images_per_s"] for line in lines] == [2.0, 3.6, 3.3, 3.6]


def test_a_log_without_steps_is_told(tmp_path):
    with pytest.raises(UserError, match="logged no step"):
        read_log(tmp_path / "out.log", plan())
