"""Answers of the filter benchmark → its table and its figures."""

from collections.abc import Mapping, Sequence
from statistics import linear_regression
from typing import Any

import numpy as np

from bench.filter_sides import OURS, PEER
from bench.measure import cpu_s, ratio
from bench.result import Figure

Runs = Sequence[Mapping[str, Any]]
Answers = Mapping[str, Runs]  # by side

XLARGE_ROWS = 12.8e9
_IN_MEMORY = ("clip_score", "basic")  # whose memory rss_x is of
_MEANINGS = {
    "clip_score": "clip_score, the top 30 %",
    "clip_threshold": "clip_score with a threshold",
    "basic": "basic_filter",
    "text_based": "text_based",
    "laion2b": "laion2b",
    "image_based": "image_based",
}


def rows_of(name: str, answers: Answers) -> list[dict[str, Any]]:
    """The table's rows of one workload, all with the same keys."""
    return [_row(name, side, runs, answers[OURS]) for side, runs in answers.items()]


def _row(name: str, side: str, runs: Runs, ours: Runs) -> dict[str, Any]:
    cost = cpu_s(runs)
    return {
        "workload": name,
        "side": side,
        "CPU s": cost.median,
        "least": cost.least,
        "most": cost.most,
        "× ours": ratio(runs, ours).median,
        "µs/row": 1e6 * cost.median / runs[0]["rows"],
        "rows": runs[0]["rows"],
        "kept": runs[0]["kept"],
        "wall s": min(run["wall_s"] for run in runs),
        "peak PSS MB, all": peak(runs, "pss_mb"),
        "peak RSS MB, all": peak(runs, "rss_mb"),
    }


def peak(runs: Runs, what: str) -> float:
    """The most of all runs: a look may miss the highest moment, and none sees more than there was."""
    return float(max(run[what] for run in runs))


def identical(answers: Answers) -> bool:
    """Whether every run of every side wrote the same bytes."""
    return len({run["digest"] for runs in answers.values() for run in runs}) == 1


def figures_of(found: Mapping[str, Answers]) -> list[Figure]:
    """Ratios of the workloads that were measured, `found` by workload, and whether all subsets are the same."""
    figures = []
    for name, answers in found.items():
        x = ratio(answers[PEER], answers[OURS])
        spread = f"median over rounds, {x.least:.2f} to {x.most:.2f}" if len(answers[OURS]) > 1 else "one run"
        meaning = f"CPU of DataComp's script ÷ ours, {_MEANINGS[name]} ({spread}); bigger is better"
        figures.append(Figure(key=f"{name}_x", value=x.median, meaning=meaning))
    ratios = [
        peak(found[name][PEER], what) / peak(found[name][OURS], what)
        for name in _IN_MEMORY
        if name in found
        for what in ("pss_mb", "rss_mb")
    ]
    if ratios:
        meaning = (
            "the most memory of all processes together, DataComp's ÷ ours: the least ratio of clip_score's and basic's, with "
            "shared pages counted once (PSS) and as often as they are shared (RSS); bigger is better"
        )
        figures.append(Figure(key="rss_x", value=min(ratios), meaning=meaning))
    same = all(identical(answers) for answers in found.values())
    figures.append(Figure(key="identical", value=same, meaning="whether both sides wrote the same bytes in every run"))
    return figures


def growth(runs: Runs) -> float:
    """b of CPU seconds = a · rows^b, fitted to runs on growing pools; what a run costs before its first row makes it smaller."""
    rows, seconds = (np.log([run[what] for run in runs]).tolist() for what in ("rows", "cpu_s"))
    return linear_regression(rows, seconds).slope


def per_row_s(runs: Runs) -> float:
    """CPU seconds of one more row, by the largest pool and the one before it."""
    before, last = runs[-2:]
    return float((last["cpu_s"] - before["cpu_s"]) / (last["rows"] - before["rows"]))


def figures_of_large(found: Mapping[str, Runs]) -> list[Figure]:
    """Memory at the largest pool, growth, and what DataComp's xlarge pool would cost; `found` by workload, pools growing."""
    most = max(max(runs[-1]["pss_mb"], runs[-1]["rss_mb"]) for runs in found.values())
    rows = next(iter(found.values()))[-1]["rows"]
    meaning = f"our most memory of all processes together (RSS) on {rows:,} rows, clip_score or basic, 10^6 bytes"
    figures = [Figure(key="rows_12m_peak_mb", value=most, meaning=f"{meaning}; smaller is better")]
    for name, runs in found.items():
        exponent = f"b where our CPU time of {_MEANINGS[name]} grows as rows^b from {runs[0]['rows']:,} to {rows:,} rows"
        hours = f"core hours of {_MEANINGS[name]} on the {XLARGE_ROWS:,.0f} rows of xlarge, by what one more row costs here"
        figures += [
            Figure(key=f"{name}_growth", value=growth(runs), meaning=f"{exponent}; 1 is proportional"),
            Figure(
                key=f"{name}_xlarge_core_h", value=per_row_s(runs) * XLARGE_ROWS / 3600, meaning=f"{hours}; smaller is better"
            ),
        ]
    return figures
