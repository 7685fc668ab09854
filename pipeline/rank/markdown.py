"""ranking.md: the tables that a person reads."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from pipeline.rank.curves.trends import Trends
from pipeline.rank.markdown_trends import trend_lines
from pipeline.rank.names import cell, compute_text, p_text
from schemas.rankings import AVERAGE, BASELINE

Row = dict[str, Any]

_MANY_REPEATS = 4  # beyond them, repeated data is worth clearly less than new (Muennighoff et al. 2023; Goyal et al. 2024)
_MOST_TIES = 30  # named in a sentence; the table below it has all
_HEAD = """# Ranking

Values in percent: mean over seeds ± standard deviation over seeds, 95 % interval over seeds and test items in brackets. Δ is
a difference paired over seeds and items: from no_filter, and from the filter's own control, a random subset of its size. A tie is
a Δ whose interval covers 0, or whose p does not hold up after Holm's correction. A ranking holds at its compute only: more
samples may turn it round. docs/ranking.md says what each number means.
"""


def render(rows: Sequence[Row], pairs: Sequence[Row], trends: Trends, facts: Mapping[str, Any]) -> str:
    """Markdown of the whole ranking, the most samples seen first, then what the computes say together."""
    blocks = [_HEAD]
    facts_of = {_compute(told): told for told in facts["computes"]}
    for compute, group in groupby(sorted(rows, key=_compute), key=_compute):
        mine = [pair for pair in pairs if _compute(pair) == compute]
        blocks += _compute_section(list(group), mine, facts_of[compute])
    return "\n".join(blocks + trend_lines(trends))


def _compute(row: Row) -> tuple[str, str, int]:
    return row["scale"], row["model"], -row["samples_seen"]


def _compute_section(rows: Sequence[Row], pairs: Sequence[Row], facts: Row) -> list[str]:
    lines = [f"## {compute_text(rows[0])}", "", *_warnings(rows, facts)]
    for (task, metric), group in groupby(rows, key=lambda row: (row["task"], row["metric"])):
        if task == AVERAGE or metric in ("acc1", "mean_recall@1"):
            lines += _task_table(task, metric, sorted(group, key=lambda row: (-row["mean"], row["filter"])))
    return lines + _pair_lines(pairs, facts["ties"])


def _warnings(rows: Sequence[Row], facts: Row) -> list[str]:
    """What the tables below lack, a paragraph each."""
    fewest, lines = min(row["n_seeds"] for row in rows), []
    if fewest < 2:
        lines.append("**One seed only: the intervals cover the test items, not what another seed would give.**")
    elif fewest < 5:
        lines.append(f"{fewest} seeds: intervals are wide because so few say little of the spread (Student's t).")
    if facts["lacking"]["no_filter"]:
        lines.append(f"**No run of {BASELINE}: nothing says whether filtering helps at all.**")
    if without := facts["lacking"]["random"]:
        named = ", ".join(map(cell, without))
        lines.append(f"**No random subset of the same size for {named}: being smaller and being better cannot be told apart.**")
    repeated = {name: times for name, times in facts["repeats"].items() if times > _MANY_REPEATS}
    if repeated:
        named = ", ".join(f"{cell(name)} {times:.1f} times" for name, times in sorted(repeated.items()))
        lines.append(
            f"Data that repeats more than {_MANY_REPEATS} times is worth less than new data: {named}. With more samples seen, "
            "larger subsets may overtake smaller ones."
        )
    return [each for line in lines for each in (line, "")]


def _task_table(task: str, metric: str, rows: Iterable[Row]) -> list[str]:
    head = ["filter", "pairs", "repeats", "seeds", "mean ± sd", "95 %", "Δ to no_filter", "p (Holm)", "verdict"]
    rows = list(rows)
    compared = any(row.get("control") for row in rows)
    if compared:
        head += ["Δ to own random control", "p (Holm)", "verdict"]
    lines = [
        f"### {cell(task)}, {cell(metric)}",
        "",
        f"| {' | '.join(head)} |",
        "|---|---:|---:|---:|---|---|---|---:|---|" + ("---|---:|---|" if compared else ""),
    ]
    return [*lines, *(f"| {' | '.join(_cells(row) + (_control_cells(row) if compared else []))} |" for row in rows), ""]


def _cells(row: Row) -> list[str]:
    spread = "" if row["sd"] is None else f" ± {100 * row['sd']:.1f}"
    interval = f"[{100 * row['ci_low']:.1f}, {100 * row['ci_high']:.1f}]"
    return [
        cell(row["filter"]),
        f"{row['rows']:,}",
        f"{row['repeats']:.1f}",
        str(row["n_seeds"]),
        f"{100 * row['mean']:.1f}{spread}",
        interval,
        _difference(row, "difference"),
        p_text(row.get("p_better_than_no_filter")),
        row.get("verdict") or "–",
    ]


def _control_cells(row: Row) -> list[str]:
    difference, p = _difference(row, "control_difference"), p_text(row.get("p_better_than_control"))
    return [difference, p, row.get("control_verdict") or "–"]


def _pair_lines(pairs: Sequence[Row], ties: Sequence[Sequence[str]]) -> list[str]:
    if not pairs:
        return []
    lines = [
        "### Every pair, on the average",
        "",
        f"{len(pairs) - len(ties)} of {len(pairs)} pairs are told apart." + (" Ties: " + _ties(ties) + "." if ties else ""),
        "",
        "| filter | other | Δ | P(filter ahead) | p (two-sided, Holm, all pairs) | verdict |",
        "|---|---|---|---:|---:|---|",
    ]
    return [*lines, *map(_pair_line, pairs), ""]


def _ties(ties: Sequence[Sequence[str]]) -> str:
    named = [f"{cell(one)} and {cell(other)}" for one, other in ties[:_MOST_TIES]]
    return "; ".join(named) + (f"; and {len(ties) - _MOST_TIES} more" if len(ties) > _MOST_TIES else "")


def _pair_line(pair: Row) -> str:
    cells = [cell(pair["filter"]), cell(pair["other"]), _difference(pair, "difference"), f"{pair['probability']:.3f}"]
    return f"| {' | '.join([*cells, p_text(pair['p']), pair['verdict']])} |"


def _difference(row: Row, name: str) -> str:
    if row.get(name) is None:
        return "–"
    low, high = 100 * row[f"{name}_low"], 100 * row[f"{name}_high"]
    return f"{100 * row[name]:+.1f} [{low:+.1f}, {high:+.1f}]".replace("-", "−")


__all__ = ["p_text", "render"]
