"""What the demo prints at its end: each filter against the truth, and the ranking."""

import json
from collections.abc import Sequence
from typing import Any

import pyarrow.parquet as pq

from pipeline import io
from pipeline.demo.truth import compare_subset

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
