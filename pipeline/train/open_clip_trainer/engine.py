"""--engine open_clip: reshard the subset, have open_clip's trainer train on it, and lay its model out as our own loop does.

OUT/_resharded/{hash} holds a subset's curated shards, which all its seeds and scales share; RUN/_open_clip the trainer's own log.
"""

import fcntl
import hashlib
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from pipeline import io
from pipeline.clip import known_model, load_clip
from pipeline.ledger import write_report
from pipeline.manifest import Manifest, PartReport, hash_of, peak_rss_bytes, to_json
from pipeline.reshard import ReshardConfig
from pipeline.reshard import run as reshard
from pipeline.stage import Part, PartFolder, begin, done_parts, end, part_folder, require_complete
from pipeline.subset_file import read_subset
from pipeline.train.choices import Run, choices, run_folder
from pipeline.train.cost import flops_per_sample
from pipeline.train.loop import finite
from pipeline.train.open_clip_trainer.command import (
    CROP_SCALE,
    OpenClipPlan,
    exp_name,
    plan_of,
    shards_in_braces,
    trainer_command,
)
from pipeline.train.open_clip_trainer.log import Line, read_log
from pipeline.train.open_clip_trainer.subset import require_usable
from pipeline.train.reference import TRAIN_JSON, checkpoint_name, run_facts
from pipeline.train.saving import save
from schemas.errors import UserError

if TYPE_CHECKING:
    from pipeline.train import TrainConfig

_PART = Part(name="run")
_NEEDED = ("open_clip_train", "webdataset", "braceexpand")
_LAST_LINES = 5  # of a trainer that failed, told in the error
_TORCH_SAYS = re.compile(r"[IVW]\d{4} \d\d:")  # lines of torch's own log, which at its end tells statistics
# What tells open_clip's trainer that it is one of several processes, as in a Slurm job of which this is one task.
_LAUNCHERS = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID", "PMI_SIZE", "PMI_RANK")


@dataclass(frozen=True, kw_only=True)
class Curated:
    """The resharded subset: its folder, how many shards and pairs, and what became of the shards that were read."""

    folder: str
    shards: int
    pairs: int
    manifest: Manifest


def train(config: "TrainConfig") -> Manifest | None:
    """Train one reference model with open_clip's trainer; see pipeline.train.run. None after a dry run, which prints commands.

    Raises UsageError for options that it has nothing for, UserError where its packages are missing or where it fails.
    """
    run = choices(config)
    run = replace(run, model=known_model(run.model))
    plan = plan_of(config, run)
    config = replace(config, subset_sha256=hashlib.sha256(io.read_bytes(config.subset)).hexdigest())
    if config.dry_run:
        print(*map(shlex.join, commands(config, run, plan)), sep="\n")
        return None
    _require_packages()
    folder = run_folder(config)
    with begin("train", config, out=folder, upstream=[config.shards]) as stage:
        done = done_parts(folder, [_PART])
        if done:
            return end(stage, list(done.values()), resumed=1)
        curated = _curated(config)
        command, logs = _command(config, run, plan, curated.folder, curated.shards), _logs(config)
        _follow(command)
        report = _adopted(config, run, plan, curated, Path(logs, exp_name(run)))
        write_report(folder, report)
        shutil.rmtree(Path(logs, exp_name(run), "checkpoints"))  # thrice the model's size, with the optimiser's state
        return end(stage, [report])


def commands(config: "TrainConfig", run: Run, plan: OpenClipPlan) -> list[list[str]]:
    """What is run, as words: the resharding and the training. The shards need not stand yet."""
    settings = _reshard_config(config)
    told = reshard(replace(settings, dry_run=True, quiet=True))
    options = {"input-dir": settings.input_dir, "output-dir": settings.output_dir, "subset-file": settings.subset_file}
    options["num-workers"] = str(settings.workers)
    first = [sys.executable, "-m", "pipeline.cli", "reshard", *(f"--{name}={value}" for name, value in options.items())]
    shards = -(-told.counts.get("rows_out", 0) // settings.shard_size)
    return [first, _command(config, run, plan, settings.output_dir, max(1, shards))]


def _require_packages() -> None:
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"--engine open_clip: needs {', '.join(missing)}; install the extra: pip install 'webpairs[open_clip]'")


def _reshard_config(config: "TrainConfig") -> ReshardConfig:
    decides = {"subset": config.subset_sha256, "shards": require_complete(config.shards)}
    folder = io.join(io.absolute(config.out), "_resharded", hash_of(decides)[:16])
    return ReshardConfig(input_dir=config.shards, output_dir=folder, subset_file=config.subset, workers=config.workers)


def _curated(config: "TrainConfig") -> Curated:
    """The subset's curated shards, made where they do not stand yet. Raises UserError where they hold no pair."""
    settings = _reshard_config(config)
    folder = Path(settings.output_dir)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # runs of one subset that start together wait for the first
        manifest = reshard(settings)
    tars = io.list_files(settings.output_dir, ".tar")
    pairs = manifest.counts.get("rows_out", 0)
    if not tars or not pairs:
        raise UserError(f"{config.subset}: none of its uids is in the shards of {config.shards}; was it made from other shards?")
    require_usable(tars, subset=config.subset)
    # Up to the highest number: what is missing between is passed over by open_clip's reader.
    return Curated(
        folder=settings.output_dir, shards=max(int(io.stem(path)) for path in tars) + 1, pairs=pairs, manifest=manifest
    )


def _command(config: "TrainConfig", run: Run, plan: OpenClipPlan, folder: str, shards: int) -> list[str]:
    return trainer_command(config, run, plan, train_data=shards_in_braces(folder, shards), logs=_logs(config))


def _logs(config: "TrainConfig") -> str:
    return io.absolute(io.join(run_folder(config), "_open_clip"))


def _follow(command: Sequence[str]) -> None:
    """Run the trainer to its end, saying what it says of its steps. Raises UserError with its last lines where it fails."""
    print(shlex.join(command), file=sys.stderr)
    env = {name: value for name, value in os.environ.items() if name not in _LAUNCHERS}
    last: deque[str] = deque(maxlen=_LAST_LINES)
    with subprocess.Popen(  # noqa: S603 - a list of words, and no shell
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, text=True, errors="replace"
    ) as process:
        try:
            for line in process.stdout or ():
                if line.strip() and not _TORCH_SAYS.match(line):
                    last.append(line.strip())
                if "Train Epoch" in line:
                    print(line.strip(), file=sys.stderr, flush=True)
        except BaseException:
            process.terminate()  # torchrun passes it on
            raise
    if process.returncode:
        raise UserError(f"open_clip's trainer ended with status {process.returncode}: {' | '.join(last)}")


def _adopted(config: "TrainConfig", run: Run, plan: OpenClipPlan, curated: Curated, made: Path) -> PartReport:
    """Checkpoints, metrics.jsonl and train.json of what the trainer made in the folder `made`."""
    lines = read_log(made / "out.log", plan)
    finite(torch.tensor(lines[-1]["loss"]), lines[-1]["step"])
    facts = _facts(config, run, plan, curated, lines)
    with part_folder(run_folder(config), _PART) as files:
        for epoch in plan.saved:
            _adopt_model(
                made / "checkpoints" / f"epoch_{epoch}.pt", checkpoint_name(plan.samples_after(epoch)), plan, epoch, files
            )
        with files.open("metrics.jsonl") as file:
            file.write("".join(json.dumps(line) + "\n" for line in lines).encode())
        with files.open(TRAIN_JSON) as file:
            file.write(to_json(facts))
        names = files.commit()
    wanted = len(read_subset(config.subset))
    counts = {
        "rows_in": wanted,
        "rows_out": curated.pairs,
        "dropped_not_in_shards": max(0, wanted - curated.pairs),
        "samples_seen": facts["samples_seen"],
    }
    inputs = curated.manifest.inputs
    return PartReport(name=_PART.name, counts=counts, inputs=inputs, files=names, facts=facts, peak_rss_bytes=peak_rss_bytes())


def _adopt_model(path: Path, name: str, plan: OpenClipPlan, epoch: int, files: PartFolder) -> None:
    if not path.is_file():
        raise UserError(
            f"{path}: open_clip's trainer ended without it; remove {path.parent.parent} and run the same command again"
        )
    saved = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    weights = {key.removeprefix("module."): value for key, value in saved.items()}  # DistributedDataParallel's prefix
    with files.open(name) as file:
        save({"state_dict": weights, "samples_seen": plan.samples_after(epoch)}, file)


def _facts(config: "TrainConfig", run: Run, plan: OpenClipPlan, curated: Curated, lines: Sequence[Line]) -> dict[str, Any]:
    """What evaluate, rank and a reader need to know of the run, in the words of our own loop's."""
    common = run_facts(
        config,
        run,
        checkpoints=[plan.samples_after(epoch) for epoch in plan.saved],
        rows=curated.pairs,
        flops=flops_per_sample(load_clip(run.model, None)),
        schedule={"crop_scale": CROP_SCALE, "schedule": "cosine"},
        lines=lines,
    )
    told = {"version": version("open_clip_torch"), **asdict(plan)}
    return {**common, "processes": plan.processes, "open_clip": told}
