"""Ranking rows → words: who beats no_filter, who ties, and the one sentence at the top of the report."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.rank.markdown import p_text
from schemas.rankings import AVERAGE, BASELINE

RANDOM = "random_subset"

Row = dict[str, Any]  # of the ranking, and `is_random`: whether its filter is a random subset


def final_rows(rows: Sequence[Row]) -> list[Row]:
    """Of each scale, the rows at the most samples seen: where the ranking is read off."""
    last = {row["scale"]: max(r["samples_seen"] for r in rows if r["scale"] == row["scale"]) for row in rows}
    return [row for row in rows if row["samples_seen"] == last[row["scale"]]]


def verdict(row: Row) -> str:
    """`better`, `worse` or `tie` against no_filter, as `rank` found; `baseline` for no_filter, `–` where there was none."""
    return "baseline" if row["filter"] == BASELINE else row["verdict"] or "–"


def baseline_of(row: Row, rows: Sequence[Row]) -> Row | None:
    """no_filter's row on the same task, metric, model and compute."""
    same = ("scale", "model", "samples_seen", "task", "metric")
    return next((r for r in rows if r["filter"] == BASELINE and all(r[k] == row[k] for k in same)), None)


def is_random(name: str, made: Mapping[str, Any]) -> bool:
    """Whether a subset is a random one. Its account, NAME.json, says so; of one without account its name does."""
    recipe = made.get("recipe")
    return recipe == RANDOM if isinstance(recipe, str) else name.startswith("random_")


def is_control(row: Row) -> bool:
    """Whether a ranking row is there to compare with: no filter, or a random subset of a filter's size."""
    return bool(row["filter"] == BASELINE or row["is_random"])


def headline(rows: Sequence[Row]) -> str:
    """One sentence on the largest compute: the best filter against no_filter, and what the random subset does."""
    final = [row for row in final_rows(rows) if row["task"] == AVERAGE] or final_rows(rows)
    filters = [row for row in final if not is_control(row)]
    if not filters:
        return ""
    best = max(filters, key=lambda row: (row["samples_seen"], verdict(row) == "better", row["mean"], row["filter"]))
    return f"{_claim(best, rows)} {_where(best)}{_controls(best, final, rows)}."


def _claim(best: Row, rows: Sequence[Row]) -> str:
    baseline = baseline_of(best, rows)
    if baseline is None or best["difference"] is None:
        return f"{best['filter']} reaches {100 * best['mean']:.1f} %, with no no_filter run to compare with"
    low, high = signed(100 * best["difference_low"]), signed(100 * best["difference_high"])
    p = p_equals(best["p_better_than_no_filter"])
    by = f"{signed(100 * best['difference'])} points (95 % interval {low} to {high}; p {p}; "
    by += f"{100 * best['mean']:.1f} against {100 * baseline['mean']:.1f} %)"
    return {
        "better": f"{best['filter']} beats {BASELINE} by {by.lstrip('+')}",
        "worse": f"no filter beats {BASELINE}; the best of them, {best['filter']}, stands at {by}",
        "tie": f"no filter can be told from {BASELINE}: {best['filter']} stands at {by}",
    }[verdict(best)]


def signed(points: float, digits: int = 1) -> str:
    """A difference with its sign, minus as a minus sign and not a hyphen."""
    return f"{points:+.{digits}f}".replace("-", "−")


def p_equals(p: float | None) -> str:
    """A p value after the letter p: `= 0.012`, `< 0.001`, or that it is unknown."""
    text = p_text(p)
    return "unknown" if p is None else text if text.startswith("<") else f"= {text}"


def _where(row: Row) -> str:
    seeds = "1 seed" if row["n_seeds"] == 1 else f"{row['n_seeds']} seeds"
    task = "averaged over all tasks" if row["task"] == AVERAGE else f"on {row['task']}"
    return f"{task}, at scale {row['scale']}, {row['samples_seen']:,} samples seen, {seeds}"


def _controls(best: Row, final: Sequence[Row], rows: Sequence[Row]) -> str:
    if best.get("control_difference") is not None:
        return _against_control(best)
    same = ("scale", "model", "task", "metric")
    others = [r for r in final if r["is_random"] and all(r[k] == best[k] for k in same)]
    own = [r for r in others if best["filter"] in r["filter"] or r["rows"] == best["rows"]] or others
    if not own:
        return "; there is no random subset of the same size to compare with"
    does = {"better": "beats it too", "tie": "ties", "worse": "does worse"}.get(verdict(own[0]), "was not compared")
    kind = "a random subset of the same size" if own[0]["rows"] == best["rows"] else "a random subset"
    return f"; {kind} {does}"


def _against_control(best: Row) -> str:
    """The comparison that `rank` made with the random subset of the filter's size."""
    low, high = signed(100 * best["control_difference_low"]), signed(100 * best["control_difference_high"])
    by = f"{signed(100 * best['control_difference'])} points (95 % interval {low} to {high}; "
    by += f"p {p_equals(best['p_better_than_control'])})"
    return {
        "better": f"; it beats a random subset of its size by {by.lstrip('+')}",
        "worse": f"; a random subset of its size is better: {by}",
        "tie": f"; it cannot be told from a random subset of its size: {by}",
    }[best["control_verdict"]]
