"""What was read → the page: each section's data, in the page's order, handed to template.html."""

from collections.abc import Sequence
from importlib import resources
from itertools import zip_longest
from typing import Any

import jinja2

from pipeline import io
from pipeline.report import download_charts, downloads, text, verdict
from pipeline.report.account import accounts, provenance
from pipeline.report.census import census
from pipeline.report.census import shown as census_shown
from pipeline.report.commands import commands
from pipeline.report.duplicates import contamination, duplicates
from pipeline.report.filters import overlap_matrix, waterfalls
from pipeline.report.funnel import Step, funnel, kept, missing_stages
from pipeline.report.gallery import thumbnails
from pipeline.report.panels import panels, with_panel
from pipeline.report.ranking import scales
from pipeline.report.read import Root
from pipeline.report.scaling import scaling
from pipeline.report.scores import rows_of, scan

# Thumbnails are the bulk of the file (3 to 6 kB each in base64): so many keep it under 5 MB.
MOST_THUMBNAILS = 480


def render(root: Root, *, pairs: int) -> str:
    """The whole page as HTML. The same root gives the same page. `pairs`: shown per filter, kept, dropped and borderline each."""
    steps, ranked = funnel(root), scales(root.ranking)
    subsets = with_panel(root)
    shown = min(pairs, MOST_THUMBNAILS // (3 * max(1, len(subsets))))
    views = scan(root.score_files, subsets, shown) if root.score_files else ()
    scored = views[0].n_pairs if views else max((len(subset.uids) for subset in root.subsets), default=0)
    context = {
        "headline": verdict.headline(root.ranking),
        "provenance": provenance(root),
        "steps": _bars(steps),
        "filters": _bars(kept(root, scored)),
        "missing_stages": missing_stages(root),
        "scales": ranked,
        "tasks_left_out": _tasks_left_out(root),
        "scaling": scaling(root),
        "census": census_shown(census(root)),
        "panels": panels(root, views, shown),
        "subsets_left_out": len(root.subsets) - len(subsets),
        "waterfalls": waterfalls(subsets),
        "overlap": overlap_matrix(root.subsets),
        "copies": _copies(root),
        "contamination": contamination(root),
        "accounts": accounts(root),
        "downloads": _downloads(root),
        "commands": commands(root),
        "truth_of_filters": root.truth_of_filters,
        "has": {
            "subsets": bool(root.subsets),
            "truth": bool(root.truth),
            "curves": any(scale.curves for scale in ranked),
        },
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


def _downloads(root: Root) -> dict[str, Any]:
    """The outcomes, and the plots for which the manifest has facts."""
    found, by_tld, rates = downloads.outcomes(root), downloads.domains(root), downloads.shard_rates(root)
    return {
        "outcomes": found,
        "outcome_plot": download_charts.outcome_bars(found) if found else None,
        "domain_plot": download_charts.domain_bars(by_tld) if by_tld else None,
        "shard_plot": download_charts.rate_line(rates) if len(rates) > 1 else None,
    }


def _copies(root: Root) -> dict[str, Any]:
    """The kinds of copies, how cosines are spread, and the largest groups with their pictures."""
    found = duplicates(root)
    rows = rows_of(root.score_files, (uid for group in found["groups"] for uid in group["uids"])) if root.score_files else {}
    images = thumbnails(io.join(root.path, "3_shards"), rows.values())
    for group in found["groups"]:
        known = [rows[uid] for uid in group["uids"] if uid in rows]
        group["pairs"] = [
            {
                **row,
                "image": images.get(row["uid"]),
                "scores": [],
                "truth": root.truth.get(row["uid"]),
                "side": "kept",
                "only": "",
            }
            for row in known
        ]
    return found


def _tasks_left_out(root: Root) -> list[str]:
    """Tasks that `rank` could not use, because some run was not evaluated on them."""
    facts = [fact for manifest in root.of("rank") for fact in manifest.facts.values() if isinstance(fact, dict)]
    return sorted({str(task) for fact in facts for task in fact.get("tasks_left_out", [])})
