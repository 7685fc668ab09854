"""The log of open_clip's trainer → the lines of metrics.jsonl, and how fast it was."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.train.open_clip_trainer.command import OpenClipPlan
from schemas.errors import UserError

_LINE = re.compile(
    r"Train Epoch: (?P<epoch>\d+) \[ *(?P<samples>\d+)/"
    r".*? Batch \(t\): (?P<seconds>[\d.]+), .*? LR: (?P<lr>[\d.]+) .*? Loss: (?P<loss>\S+)"
)
Line = dict[str, Any]


def read_log(path: Path, plan: OpenClipPlan) -> list[Line]:
    """Step, samples seen, loss, rate and speed of every logged step, in order. Raises UserError where none was logged.

    Where a killed run was taken up at the start of an epoch, the later of two lines for a step counts.
    """
    text = path.read_text(errors="replace") if path.is_file() else ""
    found = {(int(match["epoch"]), int(match["samples"])): match for match in _LINE.finditer(text)}
    lines, before = [], 0
    step_samples = plan.batch_size * plan.processes * plan.accumulate
    for (epoch, samples), match in sorted(found.items()):
        step = epoch * plan.steps_per_epoch + samples // step_samples
        # The logged seconds are a step's, on average since the line before.
        seconds, before = float(match["seconds"]) * (step - before), step
        lines.append(_line(match, step=step, step_samples=step_samples, seconds=seconds))
    if not lines:
        raise UserError(f"{path}: open_clip's trainer logged no step; was it another version than 3.x?")
    return _with_speed(lines)


def _line(match: Mapping[str, str] | re.Match[str], *, step: int, step_samples: int, seconds: float) -> Line:
    told = {"loss": float(match["loss"]), "lr": float(match["lr"])}
    return {"step": step, "samples_seen": step * step_samples, **told, "seconds": seconds}


def _with_speed(lines: Sequence[Line]) -> list[Line]:
    """`seconds` of each line become images per second since the start of the first step, as in our own lines."""
    told, total_s = [], 0.0
    for line in lines:
        total_s += line["seconds"]
        speed = round(line["samples_seen"] / total_s, 1) if total_s else 0.0
        told.append({**{name: value for name, value in line.items() if name != "seconds"}, "images_per_s": speed})
    return told
