"""What was read → the page: each section's data, in the page's order, handed to template.html."""

from collections.abc import Sequence
from importlib import resources
from itertools import zip_longest
from typing import Any

import jinja2

from pipeline import io
from pipeline.report import charts, download_charts, downloads, text, verdict
from pipeline.report.account import accounts, provenance
from pipeline.report.duplicates import contamination, duplicates
from pipeline.report.filters import overlap_matrix, waterfalls
from pipeline.report.funnel import Step, funnel, kept, missing_stages
from pipeline.report.gallery import thumbnails
from pipeline.report.ranking import scales
from pipeline.report.read import Root, Subset, Truth
from pipeline.report.scores import View, columns_of, rows_of, scan, threshold_of

# Thumbnails are the bulk of the file (about 6 kB each in base64): so many keep it under 6 MB.
MOST_THUMBNAILS = 600


def render(root: Root, *, pairs: int) -> str:
    """The whole page as HTML. The same root gives the same page. `pairs`: shown per filter, kept and dropped each."""
    steps = funnel(root)
    shown = min(pairs, MOST_THUMBNAILS // (2 * max(1, len(root.subsets))))
    views = scan(root.score_files, root.subsets, shown) if root.score_files else ()
    scored = views[0].n_pairs if views else max((len(subset.uids) for subset in root.subsets), default=0)
    context = {
        "headline": verdict.headline(root.ranking),
        "provenance": provenance(root),
        "steps": _bars(steps),
        "filters": _bars(kept(root, scored)),
        "missing_stages": missing_stages(root),
        "scales": scales(root.ranking),
        "tasks_left_out": _tasks_left_out(root),
        "histograms": [_histogram(view, column) for view in views for column in columns_of(view)],
        "galleries": _galleries(root, views),
        "waterfalls": waterfalls(root.subsets),
        "overlap": overlap_matrix(root.subsets),
        "copies": _copies(root),
        "contamination": contamination(root),
        "accounts": accounts(root),
        "downloads": _downloads(root),
        "truth_of_filters": root.truth_of_filters,
        "has": {"scores": bool(root.score_files), "subsets": bool(root.subsets), "truth": bool(root.truth)},
    }
    return _environment().get_template("template.html").render(context)


def _environment() -> jinja2.Environment:
    # Loaded as package data, so that it works from a zip; autoescape is what makes captions and URLs harmless.
    files = resources.files(__package__)
    loader = jinja2.FunctionLoader(lambda name: files.joinpath(name).read_text("utf-8"))
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(visible=text.visible, words=text.words, n=text.count, share=text.share, percent=text.percent)
    environment.filters.update(moment=text.moment, duration=text.duration, size=text.size)
    return environment


def _bars(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """Each level with its bar's width, and the next one's, in percent of the widest."""
    widest = max([max(step.count, step.before) for step in steps], default=0) or 1
    widths = [max(0.4, 100 * step.count / widest) for step in steps]
    return [{"step": s, "width": w, "next": after} for s, w, after in zip_longest(steps, widths, widths[1:])]


def _histogram(view: View, column: str) -> dict[str, Any]:
    threshold = threshold_of(view, column)
    name = view.subset.name if view.subset else "all pairs"
    n_kept, n_dropped = int(view.kept[column].sum()), int(view.dropped[column].sum())
    label = f"{name}: {n_kept:,} kept and {n_dropped:,} dropped pairs by {column}"
    return {
        "filter": name,
        "column": column,
        "threshold": threshold,
        "kept": n_kept,
        "dropped": n_dropped,
        "plot": charts.histogram(view.kept[column], view.dropped[column], threshold, label),
    }


def _downloads(root: Root) -> dict[str, Any]:
    """The outcomes, and the plots for which the manifest has facts."""
    found, by_tld, rates = downloads.outcomes(root), downloads.domains(root), downloads.shard_rates(root)
    return {
        "outcomes": found,
        "outcome_plot": download_charts.outcome_bars(found) if found else None,
        "domain_plot": download_charts.domain_bars(by_tld) if by_tld else None,
        "shard_plot": download_charts.rate_line(rates) if len(rates) > 1 else None,
    }


def _galleries(root: Root, views: Sequence[View]) -> list[dict[str, Any]]:
    rows = {row["uid"]: row for view in views for row in [*view.kept_pairs, *view.dropped_pairs]}
    images = thumbnails(io.join(root.path, "3_shards"), rows.values())
    return [
        {
            "filter": view.subset.name if view.subset else "all pairs",
            "rules": _rules(view.subset) if view.subset else [],
            "sides": [
                ("kept", [_pair(row, view, images, root.truth) for row in view.kept_pairs]),
                ("dropped", [_pair(row, view, images, root.truth) for row in view.dropped_pairs]),
            ],
        }
        for view in views
    ]


def _copies(root: Root) -> dict[str, Any]:
    """The kinds of copies, how cosines are spread, and the largest groups with their pictures."""
    found = duplicates(root)
    rows = rows_of(root.score_files, (uid for group in found["groups"] for uid in group["uids"])) if root.score_files else {}
    images = thumbnails(io.join(root.path, "3_shards"), rows.values())
    for group in found["groups"]:
        known = [rows[uid] for uid in group["uids"] if uid in rows]
        group["pairs"] = [
            {**row, "image": images.get(row["uid"]), "scores": [], "truth": root.truth.get(row["uid"])} for row in known
        ]
    return found


def _pair(row: dict[str, Any], view: View, images: dict[str, str], truth: dict[str, Truth]) -> dict[str, Any]:
    scores = [(column, row[column]) for column in columns_of(view) if row.get(column) is not None]
    return {**row, "image": images.get(row["uid"]), "scores": scores, "truth": truth.get(row["uid"])}


def _tasks_left_out(root: Root) -> list[str]:
    """Tasks that `rank` could not use, because some run was not evaluated on them."""
    facts = [fact for manifest in root.of("rank") for fact in manifest.facts.values() if isinstance(fact, dict)]
    return sorted({str(task) for fact in facts for task in fact.get("tasks_left_out", [])})


def _rules(subset: Subset) -> list[tuple[str, str]]:
    """The filter's parameters as NAME.json tells them, as text."""
    parameters = subset.made.get("parameters")
    if not isinstance(parameters, dict):
        return []
    return [(str(name), _plain(value)) for name, value in parameters.items() if value is not None]


def _plain(value: object) -> str:
    """A parameter's value as a reader would write it; a rule inside a rule as name value, name value."""
    if isinstance(value, dict):
        return ", ".join(_plain(inner) if len(value) == 1 else f"{name} {_plain(inner)}" for name, inner in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)
