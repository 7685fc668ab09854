"""The stages of a release → its funnel: from links on pages to released rows, with every counted drop."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.pool.funnel import REASONS
from pipeline.report.funnel import losses
from pipeline.report.text import words

_LEVELS = {  # stage → what its rows are called, in and out
    "extract": ("links to images", "candidates"),
    "pool": ("candidates", "pool"),
    "download": ("pairs asked for", "pairs downloaded"),
    "score": ("pairs downloaded", "pairs scored"),
    "release": ("rows of the data set", "rows released"),
}


@dataclass(frozen=True, kw_only=True)
class Step:
    """One stage: rows in and out, and the drops by reason, most first. `other` is the difference that no reason explains."""

    folder: str
    stage: str
    label_in: str
    label_out: str
    rows_in: int
    rows_out: int
    lost: tuple[tuple[str, int], ...]
    other: int


def funnel_of(stages: Mapping[str, Any]) -> tuple[Step, ...]:
    """The steps, in the order of the folders, of those stages that count rows in and out."""
    steps = []
    for folder, told in stages.items():
        counts = {name: n for name, n in told.get("counts", {}).items() if isinstance(n, int)}
        labels = _LEVELS.get(str(told.get("stage")))
        if labels is None or "rows_in" not in counts or "rows_out" not in counts:
            continue
        lost = tuple((REASONS.get(name, words(name)), n) for name, n in losses(counts))
        other = counts["rows_in"] - counts["rows_out"] - sum(n for _, n in lost)
        steps.append(
            Step(
                folder=folder,
                stage=str(told["stage"]),
                label_in=labels[0],
                label_out=labels[1],
                rows_in=counts["rows_in"],
                rows_out=counts["rows_out"],
                lost=lost,
                other=max(0, other),
            )
        )
    return tuple(steps)
