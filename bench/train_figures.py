"""What the train benchmark says of its runs: a row per pool and side, and the figures by key."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from bench.measure import Spread
from bench.result import Figure
from bench.train_shards import MEANING, WEB
from bench.train_sides import OURS

Runs = Sequence[Mapping[str, Any]]
Answers = Mapping[str, Runs]


def rows_of(kind: str, answers: Answers) -> list[dict[str, Any]]:
    """A row per side of the table that is printed, from its runs."""
    rows = []
    for side, runs in answers.items():
        wall = Spread.of([run["wall_s"] for run in runs])
        rows.append(
            {
                "pool": f"{kind} px",
                "side": side,
                "whole s": wall.median,
                "least": wall.least,
                "most": wall.most,
                "× ours": ratios(runs, answers[OURS], "wall_s").median,
                "CPU s": _median(runs, "cpu_s"),
                "images/s whole": _median(runs, "per_s"),
                "again s": _median(runs, "again_s"),
                "images/s": _median(runs, "steady_per_s"),
                "CPU ms/image": _median(runs, "steady_cpu_ms"),
                "short run s": _median(runs, "start_s"),
                "peak PSS MB, all": _median(runs, "peak_pss_mb"),
            }
        )
    return rows


def figures_of(answers: Mapping[str, Answers], samples: int, pairs: int) -> list[Figure]:
    """The figures of all pools, open_clip with the number of loaders that is fastest there."""
    found = []
    for kind, runs in answers.items():
        infix = "" if kind == WEB else f"_{kind}"
        best = best_peer(runs)
        whole, steady = ratios(runs[best], runs[OURS], "wall_s"), ratios(runs[OURS], runs[best], "steady_per_s")
        cpu = ratios(runs[best], runs[OURS], "cpu_s").median
        seen = f"{samples:,} samples of {pairs:,} pairs, {MEANING[kind]}"
        more = {
            f"x_open_clip{infix}": (
                steady.median,
                f"images/s of ours ÷ open_clip's trainer ({best}), start-up and decoding once left out, model demo, CPU, "
                f"{MEANING[kind]} (median over rounds, {steady.least:.2f} to {steady.most:.2f}); bigger is better",
            ),
            f"whole_x_open_clip{infix}": (
                whole.median,
                f"time of open_clip's whole command ÷ ours, which decodes the pool first: {seen} "
                f"({whole.least:.2f} to {whole.most:.2f}); bigger is better",
            ),
            f"whole_cpu_x_open_clip{infix}": (cpu, "the same of CPU seconds"),
            f"images_per_s{infix}": (_median(runs[OURS], "steady_per_s"), "our images/s, start-up left out"),
        }
        found += [Figure(key=key, value=value, meaning=meaning) for key, (value, meaning) in more.items()]
    return found


def best_peer(answers: Answers) -> str:
    """open_clip's fastest side, by the median of its whole runs."""
    return min((side for side in answers if side != OURS), key=lambda side: _median(answers[side], "wall_s"))


def rank_rows(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Two rows: the twelve runs of each side."""
    return [
        {"side": side, "runs": cost["runs"], "measured": cost["measured"], "s": cost["wall_s"], "CPU s": cost["cpu_s"]}
        for side, cost in (("ours, evaluation counted", ours), ("open_clip, nothing evaluated", theirs))
    ]


def rank_figures(ours: Mapping[str, Any], theirs: Mapping[str, Any], samples: int) -> list[Figure]:
    """The figures of the twelve runs."""
    counted = "all measured" if theirs["measured"] == theirs["runs"] else f"{theirs['measured']} measured, times the rest"
    what = f"6 filters × 2 seeds, {samples:,} samples each, as many runs at once as cores"
    meaning = (
        f"time of open_clip's reshard + train (not evaluated; {counted}) ÷ ours, decoded once, trained and evaluated: {what}"
    )
    return [
        Figure(key="rank_x_open_clip", value=theirs["wall_s"] / ours["wall_s"], meaning=f"{meaning}; bigger is better"),
        Figure(key="rank_cpu_x_open_clip", value=theirs["cpu_s"] / ours["cpu_s"], meaning="the same of CPU seconds"),
        Figure(key="rank_s", value=ours["wall_s"], meaning="our seconds for these twelve models"),
    ]


def ratios(above: Runs, below: Runs, what: str) -> Spread:
    """A measure of one side ÷ that of another, round by round."""
    return Spread.of([a[what] / b[what] for a, b in zip(above, below, strict=True)])


def _median(runs: Runs, what: str) -> float:
    return float(median(run[what] for run in runs))
