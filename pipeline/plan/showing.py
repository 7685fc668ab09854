"""A plan as text, JSON or Markdown."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Literal

from pipeline.plan.planning import Plan, every_figure

_WORK = (
    "stage",
    "rows in",
    "rows out",
    "core hours",
    "GPU hours",
    "shuffle",
    "storage",
    "objects",
    "writes",
    "reads",
    "from the web",
)
_ASKED = ("stage", "executors", "cores", "GPUs", "MB per core", "executor.memory", "memoryOverhead", "driver")
_THOUSANDS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def shown(plan: Plan, form: Literal["text", "json", "markdown"]) -> str:
    """The plan, without a line break at its end."""
    if form == "json":
        return as_json(plan)
    tables = [as_table(rows, form, right=range(1, len(rows[0]))) for rows in (_work(plan), _executors(plan))]
    hours, busy = plan.asked["hours"], plan.asked["busy"]
    between = f"Executors for {hours:g} hours a stage, {busy:.0%} of the time at work:"
    notes = "\n".join(f"- {note}" for note in plan.notes)
    return "\n\n".join((tables[0], between, tables[1], notes))


def as_json(plan: Plan) -> str:
    """The plan with every figure that it was computed with, units in the names."""
    told = dataclasses.asdict(plan)
    told["stages"] = [{**cost, "executors": asked} for cost, asked in zip(told["stages"], told.pop("executors"), strict=True)]
    told["figures"] = [dataclasses.asdict(figure) for figure in every_figure()]
    return json.dumps(told, indent=1, ensure_ascii=False)


def _work(plan: Plan) -> list[Sequence[str]]:
    lines = [
        (
            cost.stage,
            count(cost.rows_in),
            count(cost.rows_out),
            hours(cost.core_h),
            hours(cost.gpu_h),
            size(cost.shuffle_bytes),
            size(cost.stored_bytes),
            *map(count, (cost.objects, cost.store_writes, cost.store_reads)),
            size(cost.web_bytes),
        )
        for cost in plan.stages
    ]
    sums = plan.totals
    requests = map(count, (sums["objects"], sums["store_writes"], sums["store_reads"]))
    work = (hours(sums["core_h"]), hours(sums["gpu_h"]), size(sums["shuffle_bytes"]), size(sums["stored_bytes"]))
    return [_WORK, *lines, ("all", "", "", *work, *requests, size(sums["web_bytes"]))]


def _executors(plan: Plan) -> list[Sequence[str]]:
    lines: list[Sequence[str]] = [_ASKED]
    for cost, asked in zip(plan.stages, plan.executors, strict=True):
        memory = (f"{asked.memory_mb_per_core:,.0f}", f"{asked.heap_gb}g", f"{asked.overhead_gb}g")
        lines.append(
            (
                cost.stage,
                f"{asked.count:,}",
                str(asked.cores),
                str(asked.gpus),
                *memory,
                size(cost.driver_bytes) if cost.driver_bytes else "–",
            )
        )
    return lines


def as_table(rows: Sequence[Sequence[str]], form: str, *, right: Sequence[int]) -> str:
    """Rows under a head; the columns `right` stand to the right."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    padded = [
        [
            cell.rjust(width) if at in right else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        for row in rows
    ]
    if form == "text":
        return "\n".join("  ".join(row).rstrip() for row in padded)
    rule = "|" + "|".join("-" * (width + 1) + (":" if at in right else "-") for at, width in enumerate(widths)) + "|"
    lines = ["| " + " | ".join(row) + " |" for row in padded]
    return "\n".join([lines[0], rule, *lines[1:]])


def count(number: float) -> str:
    """Three digits: 16, 8.96 M, 12.8 G."""
    return _short(number, "")


def size(number: float) -> str:
    """Bytes with three digits and a unit of a thousand: 0, 354 GB."""
    return f"{_short(number, ' ')}B" if number else "0"


def hours(number: float) -> str:
    """Hours: 0, 0.4, 16, 1,230."""
    if 0 < number < 10:
        return f"{number:.1f}" if number >= 0.05 else "< 0.1"
    return f"{number:,.0f}"


def _short(number: float, between: str) -> str:
    for unit, letter in _THOUSANDS:
        if number >= unit * 0.9995:
            scaled = number / unit
            return f"{scaled:,.{0 if scaled >= 99.95 else 1 if scaled >= 9.995 else 2}f} {letter}"
    return f"{number:.0f}{between}"
