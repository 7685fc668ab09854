"""A schedule in plain lines: its arms, its runs, what they can detect; and afterwards what became of it."""

import math
from collections.abc import Iterator, Sequence

from pipeline.evaluate.results import Result
from pipeline.rank.budget.controls import Arm
from pipeline.rank.budget.durations import time_text
from pipeline.rank.budget.plan import Design
from pipeline.rank.budget.plan_file import PLAN_NAME, Schedule
from pipeline.rank.budget.power import POWER, Noise, detectable, measured_noise
from pipeline.rank.budget.spent import Spent
from schemas.rankings import BASELINE


def plan_lines(schedule: Schedule, workers: int) -> list[str]:
    """What will be run, what it takes and what it can tell apart."""
    return [
        f"plan for {time_text(schedule.budget_s)}, {_at_once(schedule.workers)}: {time_text(_runs_s(schedule))} for runs; "
        f"{time_text(schedule.prepared_s)} went into decoding ({schedule.decoded_s:.1f} s) and timing",
        *([f"(now with --workers {workers}, for which it was not planned)"] if workers != schedule.workers else []),
        "",
        *_table(["arm", "rows", *(f"repeats at {design.scale}" for design in schedule.designs), ""], _arm_rows(schedule)),
        "",
        *_table(["scale", "seeds", "samples seen", "runs", "minutes", "detects"], _design_rows(schedule)),
        "",
        *_notes(schedule),
    ]


def outcome_lines(schedule: Schedule, spent: Spent, results: Sequence[Result]) -> list[str]:
    """What was left out, what the runs themselves say can be detected, and the time that all of it took."""
    lines = []
    rounds = [(design, seed) for design in schedule.designs for seed in schedule.seeds(design)]
    for design in schedule.designs:
        lost = [seed for number, (of, seed) in enumerate(rounds) if of is design and number in spent.left_out]
        if lost:
            names = ", ".join(map(str, lost))
            lines.append(f"left out at {design.scale}, of every arm alike, as runs took longer than timed: seeds {names}")
        if design.seeds - len(lost) > 1:
            lines.append(_measured_line(schedule, design, design.seeds - len(lost), results))
    lines.append(f"budget: {time_text(schedule.budget_s)} given, {time_text(spent.seconds)} spent")
    return lines


def detectable_by(schedule: Schedule, noise: Noise, seeds: int) -> float:
    """The smallest difference from no_filter that so many seeds of every arm detect, as a fraction."""
    return detectable(noise, seeds=seeds, comparisons=len(schedule.arms) - 1)


def _measured_line(schedule: Schedule, design: Design, seeds: int, results: Sequence[Result]) -> str:
    planned = _points(detectable_by(schedule, schedule.noise[design.scale], seeds))
    noise = measured_noise([r for r in results if r.samples_seen == design.samples_seen], design.scale, design.samples_seen)
    if noise is None:
        return f"detects at {design.scale}: {planned} points ({schedule.noise[design.scale].source})"
    found = _points(detectable_by(schedule, noise, seeds))
    spread = f"paired spread over seeds {100 * noise.seed_sd:.1f} points"
    return f"detects at {design.scale} with {seeds} seeds: {found} points ({noise.source}; {spread}); planned with {planned}"


def _arm_rows(schedule: Schedule) -> Iterator[list[str]]:
    for arm in schedule.arms:
        repeats = [f"{design.samples_seen / arm.rows:.1f}" for design in schedule.designs]
        yield [arm.name, f"{arm.rows:,}", *repeats, _control(arm)]


def _control(arm: Arm) -> str:
    if arm.name == BASELINE:
        return "control: all of the pool"
    return f"control of {', '.join(arm.control_of)}: a random subset of that size" if arm.control_of else ""


def _design_rows(schedule: Schedule) -> Iterator[list[str]]:
    for design in schedule.designs:
        seeds = schedule.seeds(design)
        detects = _points(detectable_by(schedule, schedule.noise[design.scale], design.seeds))
        yield [
            design.scale,
            f"{design.seeds} ({seeds[0]} to {seeds[-1]})",
            f"{design.samples_seen:,}",
            str(design.seeds * len(schedule.arms)),
            f"{design.seconds / 60:.1f}",
            f"{detects} points",
        ]


def _notes(schedule: Schedule) -> Iterator[str]:
    yield f"detects: the smallest difference from {BASELINE}, average over tasks, in points of percent, that is found"
    yield f"with {POWER:.0%} power after Holm's correction over {len(schedule.arms) - 1} comparisons"
    for design in schedule.designs:
        yield f"  {design.scale}: {schedule.noise[design.scale].source}"
    scales, last = schedule.options["scale"], schedule.designs[-1]
    own = schedule.costs[last.scale].whole_samples
    if last.samples_seen < own:
        yield f"{last.scale}: {last.samples_seen / own:.0%} of its own {own:,} samples; a longer budget goes there first"
    for scale in scales[len(schedule.designs) :]:
        yield f"{scale}: left out; it comes when those before it have all that they may have and 3 seeds of it fit"
    if last.samples_seen == own and last.scale == scales[-1] and last.seeds >= schedule.options["most_seeds"]:
        yield f"a longer budget would need --most-seeds above {last.seeds} or another --scale"
    yield f"written to {schedule.options['out']}/{PLAN_NAME}; the same command takes it again"


def _runs_s(schedule: Schedule) -> float:
    return sum(design.seconds for design in schedule.designs)


def _at_once(workers: int) -> str:
    return "one run at a time" if workers == 1 else f"{workers} runs at once"


def _points(fraction: float) -> str:
    return "no" if math.isinf(fraction) else f"{100 * fraction:.1f}"


def _table(head: Sequence[str], rows: Iterator[list[str]]) -> list[str]:
    """Columns as wide as they need to be, the first and the last to the left, the others to the right."""
    lines = [list(head), *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return ["  ".join(_cells(line, widths)).rstrip() for line in lines]


def _cells(line: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    last = len(line) - 1
    for i, (cell, width) in enumerate(zip(line, widths, strict=True)):
        yield cell.ljust(width) if i in (0, last) else cell.rjust(width)
