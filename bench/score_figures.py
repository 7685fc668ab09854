"""What the score benchmark runs, and what it says of the runs: a row per workload and side, and the figures by key."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from bench.measure import Spread, ratio
from bench.result import Figure
from bench.score_models import REAL, TINY
from bench.score_shards import KINDS

OURS, EXACT, AUTO, PEER = "ours", "ours, exact", "ours, auto", "clip-retrieval"
SAME = 0.999  # cosine; less is another result

Runs = Sequence[Mapping[str, Any]]
Answers = Mapping[str, Runs]


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A kind of picture through a model; `sides` in the order in which they run."""

    kind: str
    model: str
    sides: tuple[str, ...]


WORKLOADS = {
    "around_web": Workload(kind="web", model=TINY, sides=(OURS, EXACT, PEER)),
    "around_256": Workload(kind="256", model=TINY, sides=(OURS, EXACT, PEER)),
    "whole_256": Workload(kind="256", model=REAL, sides=(OURS, AUTO, PEER)),
}


def rows_of(name: str, answers: Answers) -> list[dict[str, Any]]:
    """A row per side of the table that is printed, from its runs."""
    rows = []
    for side, runs in answers.items():
        cost = Spread.of([run["cpu_ms_per_pair"] for run in runs])
        shares = [run["model_share"] for run in runs if run["model_share"] is not None]
        rows.append(
            {
                "workload": name,
                "side": side,
                "CPU ms/pair": cost.median,
                "least": cost.least,
                "most": cost.most,
                "× ours": ratio(runs, answers[OURS]).median,
                "pairs/s": median(run["pairs_per_s"] for run in runs),
                "model share": f"{median(shares):.2f}" if shares else "",
                "start CPU s": median(run["start_cpu_s"] for run in runs),
                "peak PSS MB, all": median(run["peak_pss_mb"] for run in runs),
                "peak RSS MB, one": median(run["peak_rss_mb"] for run in runs),
            }
        )
    return rows


def figures_of(answers: Mapping[str, Answers], agreements: Mapping[str, Mapping[str, Any]]) -> list[Figure]:
    """The figures of all workloads: `answers` by workload and side, `agreements` by both in one name."""
    figures = []
    for name, runs in answers.items():
        figures += _around(name, runs) if WORKLOADS[name].model == TINY else _whole(name, runs)
    for key, auto, precision in (("cosine_least", False, "fp32"), ("cosine_auto_least", True, "--precision auto")):
        same = [one for name, one in agreements.items() if name.endswith(AUTO) == auto]
        if same:
            least = min(min(one["image_least"], one["text_least"]) for one in same)
            meaning = (
                f"the least cosine of a picture's or a text's embeddings by the two sides, {REAL}, {precision}; {SAME} is meant"
            )
            figures.append(Figure(key=key, value=least, meaning=meaning))
    return figures


def _around(name: str, answers: Answers) -> list[Figure]:
    x, infix = ratio(answers[PEER], answers[OURS]), _infix(name)
    spread = f"median over rounds, {x.least:.2f} to {x.most:.2f}"
    meaning = f"CPU of clip-retrieval ÷ ours, all but the model ({_pictures(name)}; {spread}); bigger is better"
    ours = median(run["cpu_ms_per_pair"] for run in answers[OURS])
    exact = ratio(answers[PEER], answers[EXACT]).median
    return [
        Figure(key=f"cpu{infix}_x_clip_retrieval", value=x.median, meaning=meaning),
        Figure(key=f"cpu{infix}_exact_x_clip_retrieval", value=exact, meaning="the same with --preprocess exact"),
        Figure(key=f"cpu{infix}_ms_per_pair", value=ours, meaning="our CPU ms per pair of that"),
    ]


def _whole(name: str, answers: Answers) -> list[Figure]:
    ours, theirs, infix = answers[OURS], answers[PEER], _infix(name)
    walls = Spread.of([their["wall_s"] / our["wall_s"] for their, our in zip(theirs, ours, strict=True)])
    spread = f"median over rounds, {walls.least:.2f} to {walls.most:.2f}"
    pss = median(run["peak_pss_mb"] for run in ours) / median(run["peak_pss_mb"] for run in theirs)
    values = {
        "wall{}_x_clip_retrieval": (
            walls.median,
            f"time of clip-retrieval ÷ ours, {REAL}, {_pictures(name)} ({spread}); bigger is better",
        ),
        "wall{}_auto_x_clip_retrieval": (_wall_x(theirs, answers.get(AUTO)), "the same with --precision auto"),
        "whole_cpu{}_x_clip_retrieval": (ratio(theirs, ours).median, "the same of CPU seconds, the model's among them"),
        "pss{}_ratio": (pss, "the most memory of all processes together, ours ÷ theirs; smaller is better"),
        "model{}_share": (
            _share(ours),
            f"share of the time in which the model was computing, {_pictures(name)}; bigger is better",
        ),
        "their_model{}_share": (_share(theirs), "the same of clip-retrieval"),
    }
    return [
        Figure(key=key.format(infix), value=value, meaning=meaning)
        for key, (value, meaning) in values.items()
        if value is not None
    ]


def _wall_x(theirs: Runs, ours: Runs | None) -> float | None:
    return ours and Spread.of([their["wall_s"] / our["wall_s"] for their, our in zip(theirs, ours, strict=True)]).median


def _share(runs: Runs) -> float | None:
    shares = [run["model_share"] for run in runs]
    return None if None in shares else median(shares)


def _infix(name: str) -> str:
    return "" if WORKLOADS[name].kind == "web" else f"_{WORKLOADS[name].kind}"


def _pictures(name: str) -> str:
    return KINDS[WORKLOADS[name].kind].meaning
