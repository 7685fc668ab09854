"""What the demo prints at its end: each filter against the truth, and the ranking."""

import json
from collections.abc import Sequence
from typing import Any

import pyarrow.parquet as pq

from pipeline import io
from pipeline.demo.truth import compare_subset
from schemas.rankings import AVERAGE

TRUTH_OF_FILTERS = "truth_of_filters.json"


def write_truth_of_filters(scores: str, out: str, truth: str, subsets: Sequence[str]) -> list[dict[str, Any]]:
    """Precision and recall of each subset among the downloaded pairs, to `out`/truth_of_filters.json; the same as rows."""
    downloaded = [
        uid for path in io.list_files(scores, ".parquet") for uid in pq.read_table(path, columns=["uid"])["uid"].to_pylist()
    ]
    rows = []
    for subset in subsets:
        agreement = compare_subset(subset, truth, downloaded)
        row = {"filter": io.stem(subset), "kept": agreement.kept, "precision": agreement.precision, "recall": agreement.recall}
        rows.append(row)
    with io.atomic_write(io.join(out, TRUTH_OF_FILTERS)) as file:
        file.write(json.dumps(rows, indent=1).encode())
    return rows


def truth_table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a table for a terminal."""
    lines = [f"{'filter':<26}{'kept':>8}{'precision':>12}{'recall':>9}"]
    lines += [f"{row['filter']:<26}{row['kept']:>8,}{row['precision']:>12.3f}{row['recall']:>9.3f}" for row in rows]
    return "\n".join(lines)


def ranking_table(ranking: str) -> str:
    """The ranking at the most samples seen, on the average over tasks, as a table for a terminal."""
    rows = pq.read_table(ranking).to_pylist()
    seen = max(row["samples_seen"] for row in rows)
    shown = [row for row in rows if row["samples_seen"] == seen and row["task"] == AVERAGE]
    head = f"{'filter':<26}{'mean':>8}{'sd':>7}{'95 %':>16}{'over no_filter':>16}{'95 %':>18}  verdict"
    return "\n".join([head, *(_ranking_line(row) for row in sorted(shown, key=lambda row: -row["mean"]))])


def _ranking_line(row: dict[str, Any]) -> str:
    sd = "–" if row["sd"] is None else f"{100 * row['sd']:.1f}"
    line = f"{row['filter']:<26}{100 * row['mean']:>8.1f}{sd:>7}{_interval(row['ci_low'], row['ci_high'], ''):>16}"
    if row["difference"] is None:
        return line
    over = _interval(row["difference_low"], row["difference_high"], "+")
    return f"{line}{100 * row['difference']:>+16.1f}{over:>18}  {row['verdict']}"


def _interval(low: float, high: float, sign: str) -> str:
    return f"[{100 * low:{sign}.1f}, {100 * high:{sign}.1f}]"
