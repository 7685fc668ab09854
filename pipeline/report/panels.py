"""Views of the scores → one panel per filter: its rules, its histograms, and pairs kept, on the border and dropped."""

from collections.abc import Iterable, Sequence
from typing import Any

from pipeline import io
from pipeline.report import charts
from pipeline.report.border import Lone, dropped_by_one
from pipeline.report.gallery import thumbnails
from pipeline.report.read import Root, Subset
from pipeline.report.scores import View, border_of, columns_of, rows_of, threshold_of
from pipeline.report.verdict import final_rows, is_control, is_random
from schemas.rankings import AVERAGE

MOST_PANELS = 30  # each costs a quarter of a second, and 30 kB of the page
MOST_RULES = 60  # of a panel

Row = dict[str, Any]


def with_panel(root: Root) -> tuple[Subset, ...]:
    """The subsets that have a panel, at most MOST_PANELS, in the root's order: of more, those that were ranked go first."""
    ranked = {row["filter"] for row in root.ranking}
    names = {subset.name for subset in sorted(root.subsets, key=lambda subset: subset.name not in ranked)[:MOST_PANELS]}
    return tuple(subset for subset in root.subsets if subset.name in names)


def panels(root: Root, views: Sequence[View], pairs: int) -> list[dict[str, Any]]:
    """A panel per view, with at most `pairs` pairs kept, as many on the border, and as many dropped. One of them is `chosen`."""
    lone = {at: dropped_by_one(root, view.subset, pairs) for at, view in enumerate(views) if view.subset and not border_of(view)}
    uids = [each.uid for found in lone.values() for each in found]
    alone = rows_of(root.score_files, uids) if uids else {}
    rows = {row["uid"]: row for view in views for row in _rows(view, pairs)} | alone
    images = thumbnails(io.join(root.path, "3_shards"), rows.values())
    chosen = _chosen(root, views)
    return [
        {
            "filter": _name(view),
            "chosen": at == chosen,
            "rules": _rules(view.subset) if view.subset else [],
            "histograms": [_histogram(view, column) for column in columns_of(view)],
            "sides": [
                {"title": title, "note": note, "pairs": [_card(row, side, view, images, root) for row, side in shown]}
                for title, note, shown in _sides(view, pairs, lone.get(at, ()), alone)
            ],
        }
        for at, view in enumerate(views)
    ]


Shown = list[tuple[Row, str]]  # rows of pairs, each with the side, kept or dropped, that it is on


def _sides(view: View, pairs: int, lone: Sequence[Lone], alone: dict[str, Row]) -> list[tuple[str, str, Shown]]:
    """Heading, note and pairs of each part of a gallery."""
    title, note, border = _border(view, pairs, lone, alone)
    if view.subset is None or not any(n.any() for n in view.dropped.values()):
        note = note if border else ""
    return [
        ("Kept", "", [(row, "kept") for row in view.kept_pairs]),
        (title, note, border),
        ("Dropped", "", [(row, "dropped") for row in view.dropped_pairs]),
    ]


def _border(view: View, pairs: int, lone: Sequence[Lone], alone: dict[str, Row]) -> tuple[str, str, Shown]:
    cut = border_of(view)
    if cut is not None:
        column, threshold = cut
        kept, dropped = _border_rows(view, pairs)
        note = f"Nearest the threshold of {threshold:.4g} on {column}: first pairs kept, the nearest last, then pairs below it."
        return "Borderline", note, [*((row, "kept") for row in kept[::-1]), *((row, "dropped") for row in dropped)]
    if lone:
        note = "Pairs that one rule alone drops, and every other rule would keep."
        return "Borderline", note, [({**alone[each.uid], "only": each.rule}, "dropped") for each in lone if each.uid in alone]
    said = "a random subset has no border" if _is_random(view) else "none of its rules that could be asked again leaves one"
    return "Borderline", f"No pairs to show: the filter cuts no score, and {said}.", []


def _border_rows(view: View, pairs: int) -> tuple[list[Row], list[Row]]:
    """At most `pairs` in all, both sides alike."""
    return view.border_kept[: (pairs + 1) // 2], view.border_dropped[: pairs // 2]


def _rows(view: View, pairs: int) -> Iterable[Row]:
    kept, dropped = _border_rows(view, pairs)
    return [*view.kept_pairs, *view.dropped_pairs, *kept, *dropped]


def _card(row: Row, side: str, view: View, images: dict[str, str], root: Root) -> dict[str, Any]:
    scores = [(column, row[column]) for column in columns_of(view) if row.get(column) is not None]
    uid = row["uid"]
    return {"only": "", **row, "side": side, "image": images.get(uid), "scores": scores, "truth": root.truth.get(uid)}


def _histogram(view: View, column: str) -> dict[str, Any]:
    threshold = threshold_of(view, column)
    n_kept, n_dropped = int(view.kept[column].sum()), int(view.dropped[column].sum())
    label = f"{_name(view)}: {n_kept:,} kept and {n_dropped:,} dropped pairs by {column}"
    return {
        "column": column,
        "threshold": threshold,
        "kept": n_kept,
        "dropped": n_dropped,
        "plot": charts.histogram(view.kept[column], view.dropped[column], threshold, label),
    }


def _chosen(root: Root, views: Sequence[View]) -> int:
    """The panel that is shown at first: of the filter that ranks best, else of the first that cuts a score, else the first."""
    final = [row for row in final_rows(root.ranking) if row["task"] == AVERAGE and not is_control(row)]
    names = [_name(view) for view in views]
    ranked = [row for row in final if row["filter"] in names]
    if ranked:
        return names.index(max(ranked, key=lambda row: (row["samples_seen"], row["mean"], row["filter"]))["filter"])
    return next((at for at, view in enumerate(views) if border_of(view)), 0)


def _name(view: View) -> str:
    return view.subset.name if view.subset else "all pairs"


def _is_random(view: View) -> bool:
    return view.subset is not None and is_random(view.subset.name, view.subset.made)


def _rules(subset: Subset) -> list[tuple[str, str]]:
    """The filter's parameters as NAME.json tells them, as text."""
    parameters = subset.made.get("parameters")
    if not isinstance(parameters, dict):
        return []
    return [(str(name), _plain(value)) for name, value in parameters.items() if value is not None][:MOST_RULES]


def _plain(value: object) -> str:
    """A parameter's value as a reader would write it; a rule inside a rule as name value, name value."""
    if isinstance(value, dict):
        return ", ".join(_plain(inner) if len(value) == 1 else f"{name} {_plain(inner)}" for name, inner in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)
