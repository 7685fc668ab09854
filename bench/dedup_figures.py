"""What the dedup benchmark says of its runs: a row per pool and side, and the figures by key."""

from collections.abc import Mapping, Sequence
from math import log
from statistics import linear_regression, median
from typing import Any

from bench.dedup_sides import OURS, PEER, TIGHT
from bench.dedup_truth import AT, BANDS
from bench.measure import Spread, cpu_s, ratio
from bench.result import Figure

Runs = Sequence[Mapping[str, Any]]
Answers = dict[str, Mapping[str, Runs]]  # by load and side
COMPARABLE = 0.03  # what a setting of SemDeDup may find less than its best one to be compared with ours


def pick(answers: Mapping[str, Runs]) -> str:
    """The setting of SemDeDup that is compared: of those that find about as much as its best one, that of the least CPU time."""
    theirs = {side: runs[0] for side, runs in answers.items() if side.startswith(PEER)}
    most = max(run["recall_95"] for run in theirs.values())
    good = [side for side, run in theirs.items() if run["recall_95"] >= most - COMPARABLE]
    return min(good, key=lambda side: theirs[side]["cpu_s"])


def rows_of(answers: Answers) -> list[dict[str, Any]]:
    """A row per pool and side of the table that is printed."""
    return [_row(name, side, runs, sides) for name, sides in answers.items() for side, runs in sides.items()]


def _row(name: str, side: str, runs: Runs, sides: Mapping[str, Runs]) -> dict[str, Any]:
    cost, first = cpu_s(runs), runs[0]
    near = {f"near {band}": _told(first.get(f"recall_near_{band}")) for band in BANDS}
    return {
        "pool": name,
        "side": side,
        "CPU s": cost.median,
        "least": cost.least,
        "most": cost.most,
        "runs": len(runs),
        "× ours": _x(runs, sides[OURS]).median,
        "s": median(run["wall_s"] for run in runs),
        "recall": _told(first.get("recall_95")),
        **near,
        "wrong": str(first.get("wrong_95", "")),
        "peak PSS MB, all": median(run["peak_pss_mb"] for run in runs),
        "peak RSS MB, one": median(run["peak_rss_mb"] for run in runs),
    }


def figures_of(answers: Answers, memory_gb: float) -> list[Figure]:
    """The figures of all loads; memory as a share of the `memory_gb` that ours was given."""
    figures = [figure for name, sides in answers.items() if len(sides) > 1 for figure in _compared(name, sides)]
    grown = {name: sides[OURS] for name, sides in answers.items() if name != "start"}
    if len(grown) > 1:
        figures += _growth(grown, cpu_s(answers["start"][OURS]).median)
    peak = max(run["peak_pss_mb"] for runs in grown.values() for run in runs)
    return [
        *figures,
        Figure(key="peak_mb", value=peak, meaning=f"the most memory of ours at any size, given {memory_gb:g} GB, 10^6 bytes"),
        Figure(key="peak_of_budget", value=peak / 1e3 / memory_gb, meaning="that ÷ the memory it was given; smaller is better"),
    ]


def _compared(name: str, sides: Mapping[str, Runs]) -> list[Figure]:
    our, picked = sides[OURS], pick(sides)
    fastest = min((side for side in sides if side.startswith(PEER)), key=lambda side: cpu_s(sides[side]).median)
    x, x_fastest = _x(sides[picked], our), _x(sides[fastest], our)
    recalled = f"rows of {name} with a true cosine of at least {AT} with an earlier row: share that ours finds; bigger is better"
    compared = (
        f"CPU of SemDeDup's algorithm ÷ ours, reading and writing included (median over rounds, {x.least:.2f} to {x.most:.2f}): "
        f"{picked}, its cheapest setting within {COMPARABLE} of its best recall; bigger is better"
    )
    return [
        Figure(key=f"recall_95_{name}", value=min(run["recall_95"] for run in our), meaning=recalled),
        Figure(key=f"their_recall_95_{name}", value=sides[picked][0]["recall_95"], meaning=f"the same of {picked}"),
        Figure(key=f"x_semdedup_{name}", value=x.median, meaning=compared),
        Figure(
            key=f"x_semdedup_fastest_{name}",
            value=x_fastest.median,
            meaning=f"the same with its fastest setting, {fastest}, whose recall is {sides[fastest][0]['recall_95']:.3f}",
        ),
        Figure(key=f"cpu_s_{name}", value=cpu_s(our).median, meaning="our CPU seconds, the whole command; smaller is better"),
        *(_out_of_core(name, sides[TIGHT], our) if TIGHT in sides else []),
    ]


def _out_of_core(name: str, tight: Runs, our: Runs) -> list[Figure]:
    (run,) = tight[:1]
    less = f"ours on {name} in less memory than it takes"
    return [
        Figure(key=f"out_of_core_recall_95_{name}", value=run["recall_95"], meaning=f"{less}: the same share; bigger is better"),
        Figure(key=f"out_of_core_x_{name}", value=_x(tight, our).median, meaning=f"{less}: CPU ÷ that of ours"),
        Figure(key=f"out_of_core_peak_mb_{name}", value=run["peak_pss_mb"], meaning=f"{less}: the most memory, 10^6 bytes"),
    ]


def _growth(grown: Mapping[str, Runs], start_s: float) -> list[Figure]:
    sizes = [log(runs[0]["rows"]) for runs in grown.values()]
    costs = [cpu_s(runs).median for runs in grown.values()]
    without = [max(1e-3, cost - start_s) for cost in costs]
    meaning = f"exponent of our CPU seconds' growth with rows, {len(grown)} sizes, start-up left out; smaller is better"
    return [
        Figure(key="growth_exponent", value=_slope(sizes, without), meaning=meaning),
        Figure(key="growth_exponent_whole", value=_slope(sizes, costs), meaning="the same of the whole command"),
        Figure(key="start_cpu_s", value=start_s, meaning="our CPU seconds on next to nothing: imports, and what is compiled"),
    ]


def _slope(logs: Sequence[float], costs: Sequence[float]) -> float:
    return linear_regression(logs, [log(cost) for cost in costs]).slope


def _x(runs: Runs, ours: Runs) -> Spread:
    """Round by round, as far as both ran."""
    both = min(len(runs), len(ours))
    return ratio(runs[:both], ours[:both])


def _told(share: float | None) -> str:
    return "" if share is None else f"{share:.4f}"
