"""What the stages left → figures: each filter against the truth, the ranking by scale, a plot, and the README's block.

`python -m bench.rank_figures` prints that block from bench/results/rank.json.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from bench.places import RESULTS
from bench.rank_stages import FILTERS, ORACLE, Folder
from bench.result import Figure
from pipeline.demo.truth import compare_subset
from schemas.rankings import AVERAGE, BASELINE

MAIN_TASK = "cls_tinyimagenet200"
Row = dict[str, Any]


def against_truth(at: Folder) -> list[Row]:
    """Kept pairs, precision and recall of every subset, among the pairs of the pool; and how many kept ones are of each kind."""
    truth = pq.read_table(at.truth, columns=["uid", "kind"]).to_pylist()
    kind_of = {row["uid"]: row["kind"] for row in truth}
    return [_choice(at, path, kind_of) for path in sorted(at.subsets.glob("*.npy"))]


def _choice(at: Folder, subset: Path, kind_of: Mapping[str, str]) -> Row:
    import numpy as np

    from schemas.subsets import array_to_uids

    found = compare_subset(str(subset), str(at.truth), list(kind_of))
    kinds = [kind_of[uid] for uid in array_to_uids(np.load(subset))]
    of_kind = {kind: kinds.count(kind) for kind in sorted({*kind_of.values()})}
    return {"filter": subset.stem, "kept": found.kept, "precision": found.precision, "recall": found.recall, "kinds": of_kind}


def shares_of(at: Folder) -> dict[str, float]:
    """Share of the pool's rows that are of each kind, and the share whose text was made wrong."""
    table = pq.read_table(at.truth, columns=["kind", "original_text"]).to_pylist()
    kinds = [row["kind"] for row in table]
    shares = {kind: kinds.count(kind) / len(kinds) for kind in sorted({*kinds})}
    return {**shares, "text_made_wrong": sum(row["original_text"] != "" for row in table) / len(table)}


def ranked(at: Folder, truth: Sequence[Row], scales: Sequence[str]) -> list[Row]:
    """The rows of the table: scale by scale, at the most samples seen, best average first; percent."""
    rows = pq.read_table(at.ranking / "ranking.parquet").to_pylist()
    agreement = {row["filter"]: row for row in truth}
    told = []
    for scale in scales:
        mine = [row for row in rows if row["scale"] == scale]
        most = max(row["samples_seen"] for row in mine)
        mine = [row for row in mine if row["samples_seen"] == most]
        main = {row["filter"]: row for row in mine if row["task"] == MAIN_TASK and row["metric"] == "acc1"}
        average = [row for row in mine if row["task"] == AVERAGE]
        told += [_line(row, main[row["filter"]], agreement[row["filter"]]) for row in sorted(average, key=lambda r: -r["mean"])]
    return told


def _line(row: Row, main: Row, truth: Row) -> Row:
    line = {
        "scale": row["scale"],
        "filter": row["filter"],
        "pairs": truth["kept"],
        "precision": truth["precision"],
        "recall": truth["recall"],
        "seeds": row["n_seeds"],
        "average %": 100 * row["mean"],
        "± sd": "–" if row["sd"] is None else f"{100 * row['sd']:.2f}",
        "95 %": _interval(row, "ci_low", "ci_high", ""),
        "over no_filter": "",
        "95 % of it": "",
        "verdict": row["verdict"] or "",
        "Tiny-ImageNet %": 100 * main["mean"],
        "its verdict": main["verdict"] or "",
    }
    if row["difference"] is None:
        return line
    over = {
        "over no_filter": f"{100 * row['difference']:+.2f}",
        "95 % of it": _interval(row, "difference_low", "difference_high", "+"),
    }
    return {**line, **over}


def _interval(row: Row, low: str, high: str, sign: str) -> str:
    return f"[{100 * row[low]:{sign}.1f}, {100 * row[high]:{sign}.1f}]"


def figures_of(at: Folder, truth: Sequence[Row], costs: Mapping[str, Row], *, scale: str) -> list[Figure]:
    """The figures that others may rely on, at one scale: differences from no_filter on the average, in points."""
    rows = pq.read_table(at.ranking / "ranking.parquet").to_pylist()
    most = max(row["samples_seen"] for row in rows if row["scale"] == scale)
    last = [row for row in rows if (row["scale"], row["samples_seen"], row["task"]) == (scale, most, AVERAGE)]
    by_name = {row["filter"]: row for row in last}
    where = f"scale {scale}, {most:,} samples seen"
    figures = [
        Figure(
            key=f"{name}_over_no_filter",
            value=100 * by_name[name]["difference"],
            meaning=f"average over the evaluation sets, points above no_filter ({where}); verdict: {by_name[name]['verdict']}",
        )
        for name in (*FILTERS, ORACLE)
    ]
    figures += [
        Figure(
            key=f"{name}_over_random",
            value=100 * (by_name[name]["mean"] - by_name[f"random_like_{name}"]["mean"]),
            meaning="the same above a random subset of its size",
        )
        for name in (*FILTERS, ORACLE)
    ]
    agreement = {row["filter"]: row for row in truth}
    for name in FILTERS:
        for what, meaning in (
            ("precision", "share of its pairs that are good"),
            ("recall", "share of the good pairs that it keeps"),
        ):
            figures.append(Figure(key=f"{name}_{what}", value=agreement[name][what], meaning=f"{name}: {meaning}, by the truth"))
    minutes = {key: sum(cost[f"{key}_s"] for cost in costs.values()) / 60 for key in ("wall", "cpu")}
    figures.append(Figure(key="wall_min", value=minutes["wall"], meaning="minutes of all stages; smaller is better"))
    figures.append(Figure(key="cpu_min", value=minutes["cpu"], meaning="their CPU minutes, all processes"))
    return figures


def block_of(found: Mapping[str, Any]) -> str:
    """The README's example: what the truth says of each filter, the ranking, and how it came about."""
    machine, lines = found["machine"], [f"{'filter':<26}{'kept':>8}{'precision':>12}{'recall':>9}"]
    ordered = sorted(
        found["truth"], key=lambda row: (row["filter"] != BASELINE, row["filter"].startswith("random"), row["filter"])
    )
    lines += [f"{row['filter']:<26}{row['kept']:>8,}{row['precision']:>12.3f}{row['recall']:>9.3f}" for row in ordered]
    for scale in dict.fromkeys(row["scale"] for row in found["measured"]):
        mine = [row for row in found["measured"] if row["scale"] == scale]
        lines += ["", f"{scale}, {found['training']['samples_seen'][scale]:,} samples seen, {mine[0]['seeds']} seeds", ""]
        lines.append(
            f"{'filter':<26}{'average':>9}{'sd':>6}{'95 %':>15}{'over none':>11}{'95 %':>17}{'Tiny-ImageNet':>15}  verdict"
        )
        lines += [_block_line(row) for row in mine]
    device = found.get("device_name") or f"{machine['cpu']}, {machine['cores']} cores"
    lines += [
        "",
        "oracle: no filter but the pairs that were left as they are, the ceiling; random_like_X: as many pairs as X keeps",
    ]
    lines += ["", f"{found['command']}  ({found['date']}, {device}, {found['wall_min']:.0f} minutes)"]
    return "\n".join(lines)


def _block_line(row: Row) -> str:
    values = f"{row['average %']:>9.2f}{row['± sd']:>6}{row['95 %']:>15}{row['over no_filter']:>11}{row['95 % of it']:>17}"
    return f"{row['filter']:<26}{values}{row['Tiny-ImageNet %']:>15.1f}  {row['verdict']}".rstrip()


def plot(measured: Sequence[Row], ranking: Path, path: Path) -> None:
    """Per scale the average with its interval, best on top, and its growth with samples seen, as SVG."""
    import matplotlib as mpl
    from matplotlib.figure import Figure as Drawing

    rows = [row for row in pq.read_table(ranking).to_pylist() if row["task"] == AVERAGE]
    scales = list(dict.fromkeys(row["scale"] for row in measured))
    with mpl.rc_context({"svg.hashsalt": "rank", "svg.fonttype": "none", "font.size": 9, "text.parse_math": False}):
        drawing = Drawing(figsize=(12, 3.6 * len(scales)), layout="constrained")
        axes = drawing.subplots(len(scales), 2, squeeze=False)
        for (left, right), scale in zip(axes, scales, strict=True):
            mine = [row for row in rows if row["scale"] == scale]
            names = [row["filter"] for row in measured if row["scale"] == scale]
            _draw_intervals(left, mine, names, scale)
            _draw_growth(right, mine, names)
        drawing.savefig(path, format="svg", metadata={"Date": None})


def _colour(name: str) -> str:
    return "#111111" if name == BASELINE else "#999999" if name.startswith("random") else f"C{('oracle', *FILTERS).index(name)}"


def _draw_intervals(axes: Any, rows: Sequence[Row], names: Sequence[str], scale: str) -> None:
    most = max(row["samples_seen"] for row in rows)
    by_name = {row["filter"]: row for row in rows if row["samples_seen"] == most}
    for at, name in enumerate(names):
        mean, low, high = (100 * by_name[name][key] for key in ("mean", "ci_low", "ci_high"))
        axes.errorbar(mean, at, xerr=[[mean - low], [high - mean]], fmt="o", color=_colour(name), capsize=3)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("average over evaluation sets, %, with 95 % interval")
    axes.set_title(f"{scale}, {most:,} samples seen", loc="left", fontsize=10)


def _draw_growth(axes: Any, rows: Sequence[Row], names: Sequence[str]) -> None:
    for name in names:
        mine = sorted((row for row in rows if row["filter"] == name), key=lambda row: row["samples_seen"])
        style = ":" if name.startswith("random") else "--" if name == BASELINE else "-"
        axes.plot(
            [row["samples_seen"] for row in mine], [100 * row["mean"] for row in mine], style, color=_colour(name), label=name
        )
    axes.set_xlabel("samples seen")
    axes.set_ylabel("average, %")
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1))


if __name__ == "__main__":
    print(block_of(json.loads((RESULTS / "rank.json").read_text())))
