"""Sides → figures: runs them interleaved on one core, and sums up what each cost, beside the others, as a table."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from bench.child import Side


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Median, least and most of some values."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """The spread of at least one value."""
        return cls(median=median(values), least=min(values), most=max(values))


def one_core() -> int:
    """The core that the sides share: the last of those this process may use, as the first one serves most interrupts."""
    return max(os.sched_getaffinity(0))


def interleaved(sides: Sequence[Side], rounds: int) -> dict[str, list[dict[str, Any]]]:
    """Answers by side's name: every round runs each side once, in turn, so that a busy spell of the machine meets all alike."""
    answers: dict[str, list[dict[str, Any]]] = {side.name: [] for side in sides}
    for number in range(rounds):
        for side in sides:
            answers[side.name].append(side.run())
        costs = ", ".join(f"{name} {runs[-1]['cpu_s']:.2f}" for name, runs in answers.items())
        print(f"round {number + 1} of {rounds}, CPU s: {costs}", flush=True)
    return answers


def cpu_s(answers: Sequence[Mapping[str, Any]]) -> Spread:
    """CPU seconds of the runs of a side."""
    return Spread.of([answer["cpu_s"] for answer in answers])


def ratio(above: Sequence[Mapping[str, Any]], below: Sequence[Mapping[str, Any]]) -> Spread:
    """CPU seconds of one side ÷ those of another, round by round."""
    return Spread.of([a["cpu_s"] / b["cpu_s"] for a, b in zip(above, below, strict=True)])


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as a Markdown table, the first one's keys as its head; numbers stand to the right, – where a row has none."""
    if not rows:
        return ""
    names = list(rows[0])
    cells = [names, *([cell(row.get(name, "–")) for name in names] for row in rows)]
    widths = [max(3, *(len(line[i]) for line in cells)) for i in range(len(names))]
    right = [isinstance(rows[0][name], int | float) for name in names]
    lines = [
        "| " + " | ".join(t.rjust(w) if r else t.ljust(w) for t, w, r in zip(line, widths, right, strict=True)) + " |"
        for line in cells
    ]
    rule = "|" + "|".join("-" * (w + 1) + (":" if r else "-") for w, r in zip(widths, right, strict=True)) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def cell(value: Any) -> str:
    """A value as it stands in a table: three significant digits at least, thousands set apart."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.2f}"
