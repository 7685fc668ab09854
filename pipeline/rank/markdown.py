"""ranking.md: the tables that a person reads."""

import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from schemas.rankings import AVERAGE

Row = dict[str, Any]

_HEAD = """# Ranking

Values in percent: mean over seeds ± standard deviation over seeds, 95 % interval over seeds and test items in brackets. Δ is
the difference from no_filter, paired over seeds and items. A tie is a Δ whose interval covers 0, or whose p does not hold up
after Holm's correction. A ranking holds at its compute only: more samples may turn it round.
"""


def render(rows: Sequence[Row], duels: Sequence[Row]) -> str:
    """Markdown of the whole ranking, the most samples seen first."""
    blocks = [_HEAD]
    ordered = sorted(rows, key=_compute)
    for _, group in groupby(ordered, key=_compute):
        mine = list(group)
        blocks += _compute_section(mine, [duel for duel in duels if _compute(duel) == _compute(mine[0])])
    return "\n".join(blocks)


def _compute(row: Row) -> tuple[str, str, int]:
    return row["scale"], row["model"], -row["samples_seen"]


def _compute_section(rows: Sequence[Row], duels: Sequence[Row]) -> list[str]:
    first = rows[0]
    seeds = {row["n_seeds"] for row in rows}
    lines = [f"## {_cell(first['scale'])}, {_cell(first['model'])}, {first['samples_seen']:,} samples seen", ""]
    if min(seeds) < 2:
        lines += ["**One seed only: the intervals cover the test items, not what another seed would give.**", ""]
    elif min(seeds) < 5:
        lines += [f"{min(seeds)} seeds: intervals are wide because so few say little of the spread (Student's t).", ""]
    for (task, metric), group in groupby(rows, key=lambda row: (row["task"], row["metric"])):
        if task == AVERAGE or metric in ("acc1", "mean_recall@1"):
            lines += _task_table(task, metric, sorted(group, key=lambda row: (-row["mean"], row["filter"])))
    return lines + _duel_lines(duels)


def _task_table(task: str, metric: str, rows: Iterable[Row]) -> list[str]:
    lines = [
        f"### {_cell(task)}, {_cell(metric)}",
        "",
        "| filter | pairs | repeats | seeds | mean ± sd | 95 % | Δ to no_filter | p (Holm) | verdict |",
        "|---|---:|---:|---:|---:|---|---|---:|---|",
    ]
    return [*lines, *(_line(row) for row in rows), ""]


def _line(row: Row) -> str:
    spread = "" if row["sd"] is None else f" ± {100 * row['sd']:.1f}"
    interval = f"[{100 * row['ci_low']:.1f}, {100 * row['ci_high']:.1f}]"
    cells = [
        _cell(row["filter"]),
        f"{row['rows']:,}",
        f"{row['repeats']:.1f}",
        str(row["n_seeds"]),
        f"{100 * row['mean']:.1f}{spread}",
        interval,
        _difference(row) if row.get("difference") is not None else "–",
        p_text(row.get("p_better_than_no_filter")),
        row.get("verdict") or "–",
    ]
    return f"| {' | '.join(cells)} |"


def _duel_lines(duels: Sequence[Row]) -> list[str]:
    if not duels:
        return []
    lines = [
        "### Every pair, on the average",
        "",
        "| filter | other | Δ | p (two-sided, Holm, all pairs) | verdict |",
        "|---|---|---|---:|---|",
    ]
    return [*lines, *map(_duel_line, duels), ""]


def _duel_line(duel: Row) -> str:
    return f"| {_cell(duel['filter'])} | {_cell(duel['other'])} | {_difference(duel)} | {p_text(duel['p'])} | {duel['verdict']} |"


def _difference(row: Row) -> str:
    low, high = 100 * row["difference_low"], 100 * row["difference_high"]
    return f"{100 * row['difference']:+.1f} [{low:+.1f}, {high:+.1f}]".replace("-", "−")


def p_text(p: float | None) -> str:
    """A p value as it is printed: three digits, never `0.000`."""
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _cell(text: str) -> str:
    """A name inside a table: what Markdown or HTML would read as a mark is escaped."""
    return re.sub(r"([\\`*\[\]<>|&])", r"\\\1", " ".join(text.split()))
