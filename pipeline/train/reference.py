"""One reference model: subset and decoded pool in, checkpoints, metrics.jsonl and train.json out.

All of them stand under their names as soon as they are written, and the run counts as done, to `evaluate` and to the same
command, when its report and manifest stand. Until then the folder holds states (pipeline.train.state), from which the same
command goes on after a kill. Of several processes the first alone writes.
"""

import hashlib
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pipeline import io
from pipeline.clip import Clip
from pipeline.lease import require
from pipeline.ledger import write_report
from pipeline.manifest import Manifest, PartReport, hash_of, peak_rss_bytes, to_json
from pipeline.progress import progress
from pipeline.stage import Part, begin, done_parts, end
from pipeline.subset_file import read_subset
from pipeline.train.choices import Run, choices, model_and_pool, rows_of, run_folder
from pipeline.train.cost import flops_per_sample
from pipeline.train.decoded.pool import DecodedPool
from pipeline.train.distributed import Processes, joined
from pipeline.train.feeding.order import Order
from pipeline.train.loop import Step, Trainer, settled_arithmetic, steps
from pipeline.train.metrics import METRICS_NAME, Metrics
from pipeline.train.objective import random_state, set_random_state
from pipeline.train.saving import save
from pipeline.train.scales import checkpoint_steps
from pipeline.train.state import State, newest_state, remove_states, write_state
from pipeline.train.timing import StepTimes, time_steps
from schemas.errors import UserError

if TYPE_CHECKING:
    from pipeline.train import TrainConfig

TRAIN_JSON = "train.json"
_PART = Part(name="run")
_LINES = 1000  # of metrics.jsonl, at most about so many


def train(config: "TrainConfig") -> Manifest | None:
    """See pipeline.train.run. None in all processes of torchrun but the first."""
    run = choices(config)
    config = replace(config, subset_sha256=hashlib.sha256(io.read_bytes(config.subset)).hexdigest())
    wanted = len(read_subset(config.subset))
    with joined(config.device) as (here, device), ExitStack() as stack:
        here.require_even(run.scale.batch_size, run.accumulate)  # before the pool is decoded, which may take hours
        begun = begin("train", config, out=run_folder(config), upstream=[config.shards])
        stage = stack.enter_context(begun) if here.is_first else None
        done = here.from_first(done_parts(run_folder(config), [_PART]) if stage else {})
        identity = hash_of(stage.described) if stage else ""
        report = done.get(_PART.name) or _train(config, run, here, device, wanted=wanted, identity=identity)
        if stage is None or report is None:
            return None
        remove_states(run_folder(config))
        return end(stage, [report], resumed=len(done))


@dataclass(frozen=True, kw_only=True)
class _Fit:
    """One run being trained, and where it writes."""

    config: "TrainConfig"
    run: Run
    trainer: Trainer
    pool: DecodedPool
    order: Order
    wanted: int  # uids of the subset, repeated ones counted each time
    folder: str
    identity: str

    @property
    def here(self) -> Processes:
        return self.trainer.here


def _train(config: "TrainConfig", run: Run, here: Processes, device: str, *, wanted: int, identity: str) -> PartReport | None:
    """Train to the end and write the report; None in all processes but the first."""
    clip, pool = model_and_pool(config, run, device)
    order = Order(rows_of(config, pool), config.seed)
    if here.world > 1:
        _require_same_pairs(here, pool.uids[order.index], config.subset)
    flops = flops_per_sample(clip) if here.is_first else 0.0
    with settled_arithmetic(device, run.precision):
        trainer = Trainer(clip, run, here)
        fit = _Fit(
            config=config,
            run=run,
            trainer=trainer,
            pool=pool,
            order=order,
            wanted=wanted,
            folder=run_folder(config),
            identity=identity,
        )
        lines = _fit(fit)
    if not here.is_first:
        return None
    facts = _facts(fit, lines, flops=flops)
    with io.atomic_write(io.join(fit.folder, TRAIN_JSON)) as file:
        file.write(to_json(facts))
    report = _report(fit, facts)
    write_report(fit.folder, report)
    return report


def _require_same_pairs(here: Processes, uids: np.ndarray, subset: str) -> None:
    """Raises UserError where the processes, on machines with pools and subset files of their own, would mix different pairs."""
    if len({*here.from_each(hashlib.sha256(uids.tobytes()).hexdigest())}) > 1:
        raise UserError(
            f"{subset}: its pairs are not the same in all {here.world} processes, as when a machine could not read a shard; "
            "run the same command again to retry it"
        )


def _fit(fit: _Fit) -> list[dict[str, Any]]:
    """Train from the newest state on, writing checkpoints, states and metrics.jsonl; the lines of the latter."""
    run, here = fit.run, fit.here
    total, saved = run.n_steps, set(checkpoint_steps(run.scale, run.samples_seen))
    state = _take_up(fit)
    first = state.step if state else 0
    every = max(1, total // _LINES)
    metrics = Metrics(fit.folder, state.lines if state else (), tensorboard=fit.config.tensorboard) if here.is_first else None
    written_at = time.monotonic()
    doing = steps(fit.trainer, fit.pool, fit.order, first_step=first)
    label = f"train {run.filter} seed {fit.order.seed}"
    try:
        for step in progress(doing, total=total - first, label=label, unit="step") if here.is_first else doing:
            if step.step % every and step.step not in saved:
                continue
            told = replace(step, loss=here.mean(step.loss))
            if metrics:
                metrics.add(told)
                if step.step in saved:
                    metrics.flush()  # a model that diverged is not saved
                    _save(fit.trainer.clip, step.samples_seen, fit.folder)
            due = step.step in saved or time.monotonic() - written_at >= fit.config.state_every_s
            if step.step < total and here.from_first(due):
                _keep(fit, step, metrics)
                written_at = time.monotonic()
    finally:
        if metrics:
            metrics.close()
    return metrics.lines if metrics else []


def _take_up(fit: _Fit) -> State | None:
    """Put the newest usable state into model, optimiser and random numbers of every process; None to begin anew."""
    found = newest_state(fit.folder, fit.identity) if fit.here.is_first else None
    if found and not all(io.exists(io.join(fit.folder, checkpoint_name(seen))) for seen in found.checkpoints):
        print(f"train: {fit.folder}: checkpoints that were written are gone; training anew", file=sys.stderr)
        found = None
    state = fit.here.from_first(found)
    if state is None:
        if fit.here.is_first:
            remove_states(fit.folder)
        return None
    if fit.here.is_first:
        print(f"train: {fit.folder}: going on after step {state.step} of {fit.run.n_steps}", file=sys.stderr)
    clip = fit.trainer.clip
    clip.model.load_state_dict(state.model)
    fit.trainer.optimizer.load_state_dict(state.optimizer)
    if len(state.random) == fit.here.world:  # with other processes than before, random numbers are others
        set_random_state(clip.device, state.random[fit.here.rank])
    return state


def _keep(fit: _Fit, step: Step, metrics: Metrics | None) -> None:
    """Write a state of the run after this step. All processes must call it."""
    clip = fit.trainer.clip
    random = fit.here.from_each(random_state(clip.device))
    if metrics is None:
        return
    metrics.flush()
    require(fit.folder)
    saved = [seen for seen in _checkpoints(fit.run) if seen <= step.samples_seen]
    state = State(
        identity=fit.identity,
        step=step.step,
        model=clip.model.state_dict(),
        optimizer=fit.trainer.optimizer.state_dict(),
        random=random,
        lines=metrics.lines,
        checkpoints=saved,
    )
    write_state(fit.folder, state)


def checkpoint_name(samples_seen: int) -> str:
    """The file of the model after so many samples."""
    return f"checkpoint_{samples_seen:012d}.pt"


def _checkpoints(run: Run) -> list[int]:
    """Samples seen at each checkpoint."""
    return [step * run.scale.batch_size for step in checkpoint_steps(run.scale, run.samples_seen)]


def _save(clip: Clip, samples_seen: int, folder: str) -> None:
    weights = {name: value.detach().cpu() for name, value in clip.model.state_dict().items()}
    with io.atomic_write(io.join(folder, checkpoint_name(samples_seen))) as file:
        save({"state_dict": weights, "samples_seen": samples_seen}, file)


def _report(fit: _Fit, facts: dict[str, Any]) -> PartReport:
    wanted, rows = fit.wanted, len(fit.order.index)
    counts = {
        "rows_in": wanted,
        "rows_out": rows,
        "dropped_not_in_shards": wanted - rows,
        "samples_seen": facts["samples_seen"],
    }
    names = (*map(checkpoint_name, facts["checkpoints"]), METRICS_NAME, TRAIN_JSON)
    return PartReport(
        name=_PART.name, counts=counts, inputs=fit.pool.inputs, files=names, facts=facts, peak_rss_bytes=peak_rss_bytes()
    )


def _facts(fit: _Fit, lines: Sequence[dict[str, Any]], *, flops: float) -> dict[str, Any]:
    on_gpu = fit.trainer.clip.device.startswith("cuda")
    common = run_facts(
        fit.config,
        fit.run,
        checkpoints=_checkpoints(fit.run),
        rows=len(fit.order.index),
        flops=flops,
        schedule={"cooldown": fit.run.cooldown},
        lines=lines,
    )
    memory = torch.cuda.max_memory_allocated() if on_gpu else peak_rss_bytes()
    return {**common, "processes": fit.here.world, "peak_memory_bytes": memory}


def run_facts(
    config: "TrainConfig",
    run: Run,
    *,
    checkpoints: Sequence[int],
    rows: int,
    flops: float,
    schedule: dict[str, Any],
    lines: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """What evaluate, rank and a reader need to know of a run, by whichever engine.

    checkpoints: samples seen at each, ascending, the last at the end; rows: pairs trained on, weights counted; schedule: what
    decides the rates beside the scale; lines: those of metrics.jsonl.
    """
    seen = checkpoints[-1]
    return {
        "engine": config.engine,
        "filter": run.filter,
        "scale": run.scale_name,
        "model": run.model,
        "seed": config.seed,
        "samples_seen": seen,
        "rows": rows,
        "repeats": seen / rows,  # how often a pair was seen
        "flops_per_sample": flops,
        "checkpoints": list(checkpoints),
        "hyper_parameters": {**asdict(run.scale), **schedule, "loss": run.loss},
        "precision": config.precision,
        "subset": Path(config.subset).name,
        "subset_sha256": config.subset_sha256,
        "final_loss": lines[-1]["loss"],
        "images_per_s": lines[-1]["images_per_s"],
    }


__all__ = ["TRAIN_JSON", "StepTimes", "checkpoint_name", "run_facts", "run_folder", "time_steps", "train"]
