"""The ranking: every filter at every compute on every task and metric, against no_filter and against each other."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.ledger import write_report
from pipeline.manifest import InputReport, Manifest, PartReport, peak_rss_bytes
from pipeline.rank.bootstrap import LEVEL, Estimate, Table, estimate, holm
from pipeline.rank.markdown import render
from pipeline.rank.runs import Group, read_groups, results_files
from pipeline.stage import Part, begin, end, part_folder
from schemas.errors import UsageError
from schemas.rankings import AVERAGE, BASELINE, RANKINGS

if TYPE_CHECKING:
    from pipeline.rank import RankConfig

MAIN = "main_metric"
_PART = Part(name="ranking")

Row = dict[str, Any]
Measure = tuple[str, str, dict[str, str]]  # task, metric, and the metric to take from each task that it averages


def rank(config: "RankConfig") -> Manifest:
    """See pipeline.rank.run."""
    if config.draws < 1000:
        raise UsageError(f"--draws {config.draws}: an interval from fewer than 1000 draws is noise")
    if config.seed < 0:
        raise UsageError(f"--seed {config.seed}: must be 0 or more")
    run = begin("rank", config, out=config.out)
    paths = results_files(config.models)
    groups = read_groups(paths)
    rows = [row for group in groups for row in rank_group(group, draws=config.draws, seed=config.seed)]
    duels = [duel for group in groups for duel in duels_of(group, draws=config.draws, seed=config.seed)]
    with part_folder(config.out, _PART) as folder:
        with folder.open("ranking.parquet") as file:
            pq.write_table(pa.Table.from_pylist(rows, RANKINGS), file)
        with folder.open("ranking.md") as file:
            file.write(render(rows, duels).encode("utf-8", "backslashreplace"))
        files = folder.commit()
    n_results = sum(len(seeds) for g in groups for tasks in g.results.values() for seeds in tasks.values())
    counts = {"runs": len(paths), "results": n_results, "rows_out": len(rows)}
    facts = {"tasks_left_out": sorted({task for group in groups for task in group.left_out})}
    inputs = tuple(InputReport(path=path) for path in paths)
    report = PartReport(name=_PART.name, counts=counts, inputs=inputs, files=files, facts=facts, peak_rss_bytes=peak_rss_bytes())
    write_report(config.out, report)
    return end(run, [report])


def rank_group(group: Group, *, draws: int, seed: int) -> list[Row]:
    """One row (RANKINGS) per filter, task and metric at one compute."""
    measures = _measures(group)
    wanted = [(measure, name) for measure in measures for name in group.filters]
    means = estimate([group.scores(name, measure[2]) for measure, name in wanted], draws=draws, seed=seed)
    rows = [_row(group, name, measure, found) for (measure, name), found in zip(wanted, means, strict=True)]
    if BASELINE in group.results:
        _compare(group, measures, rows, draws, seed)
    return rows


def duels_of(group: Group, *, draws: int, seed: int) -> list[Row]:
    """Every pair of filters on the average: difference, its interval, p Holm-corrected over all pairs, verdict.

    p is two-sided: which filter is ahead was read off the same data.
    """
    names = sorted(group.filters, key=lambda name: -float(group.scores(name, group.tasks).seed_means.mean()))
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :] if {*group.seeds(a)} & {*group.seeds(b)}]
    found = estimate([group.difference(a, b, group.tasks) for a, b in pairs], draws=draws, seed=seed)
    corrected = holm([min(1.0, 2 * min(each.p, each.p_below)) for each in found])
    told = group.compute._asdict()
    return [
        {**told, "filter": a, "other": b, **_difference(each, p, p)}
        for (a, b), each, p in zip(pairs, found, corrected, strict=True)
    ]


def _measures(group: Group) -> list[Measure]:
    single = [(task, metric, {task: metric}) for task in group.tasks for metric in group.metrics(task)]
    return [(AVERAGE, MAIN, group.tasks), *single]


def _row(group: Group, name: str, measure: Measure, found: Estimate) -> Row:
    rows = group.rows(name)
    return {
        "filter": name,
        **group.compute._asdict(),
        "task": measure[0],
        "metric": measure[1],
        "n_seeds": found.n_seeds,
        "mean": found.mean,
        "sd": found.sd,
        "ci_low": max(0.0, found.low),
        "ci_high": min(1.0, found.high),
        "rows": rows,
        "repeats": group.compute.samples_seen / rows,
    }


def _compare(group: Group, measures: Sequence[Measure], rows: list[Row], draws: int, seed: int) -> None:
    """Add each filter's difference from no_filter to its row; p is corrected within each task and metric."""
    others = [name for name in group.filters if name != BASELINE]
    tables: list[Table] = [group.difference(name, BASELINE, measure[2]) for measure in measures for name in others]
    found = iter(estimate(tables, draws=draws, seed=seed))
    by_key = {(row["task"], row["metric"], row["filter"]): row for row in rows}
    for task, metric, _ in measures:
        estimates = [next(found) for _ in others]
        better, worse = holm([each.p for each in estimates]), holm([each.p_below for each in estimates])
        for name, each, p, p_worse in zip(others, estimates, better, worse, strict=True):
            told = _difference(each, p, p_worse)
            by_key[task, metric, name].update({**told, "p_better_than_no_filter": told.pop("p")})


def _difference(found: Estimate, p: float, p_worse: float) -> Row:
    return {
        "difference": found.mean,
        "difference_low": found.low,
        "difference_high": found.high,
        "p": p,
        "verdict": verdict(found, p, p_worse),
    }


def verdict(found: Estimate, p_better: float, p_worse: float) -> str:
    """`better` and `worse` ask for an interval beside 0 and for a corrected p below 0.05; all else is a `tie`."""
    if found.low > 0 and p_better < LEVEL:
        return "better"
    return "worse" if found.high < 0 and p_worse < LEVEL else "tie"
