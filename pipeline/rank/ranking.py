"""The ranking: every filter at every compute on every task and metric, against the controls and against each other."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.ledger import write_report
from pipeline.manifest import InputReport, Manifest, PartReport, peak_rss_bytes
from pipeline.rank.bootstrap import LEVEL, Estimate, holm
from pipeline.rank.contrasts import MAIN, Contrast, Contrasts, Measure
from pipeline.rank.controls import controls, lacking, random_subsets
from pipeline.rank.curves.trends import Trends, trends_of
from pipeline.rank.markdown import render
from pipeline.rank.runs import Group, read_groups, results_files
from pipeline.stage import Part, begin, end, part_folder
from schemas.errors import UsageError
from schemas.rankings import AVERAGE, BASELINE, PAIRS, RANKINGS
from schemas.scalings import CROSSINGS, SCALINGS

if TYPE_CHECKING:
    from pipeline.rank import RankConfig

_PART = Part(name="ranking")

Row = dict[str, Any]


def rank(config: "RankConfig") -> Manifest:
    """See pipeline.rank.run."""
    if config.draws < 1000:
        raise UsageError(f"--draws {config.draws}: an interval from fewer than 1000 draws is noise")
    if config.seed < 0:
        raise UsageError(f"--seed {config.seed}: must be 0 or more")
    with begin("rank", config, out=config.out) as run:
        report = _ranked(config)
        write_report(config.out, report)
        return end(run, [report])


def _ranked(config: "RankConfig") -> PartReport:
    """Write the ranking's files."""
    paths = results_files(config.models)
    groups, filters = read_groups(paths)
    random = random_subsets(paths, filters)
    rows: list[Row] = []
    pairs: list[Row] = []
    for group in groups:
        contrasts = Contrasts(group, draws=config.draws, seed=config.seed)
        rows += rank_group(contrasts, controls(group, random))
        pairs += pairs_of(contrasts)
    trends = trends_of(groups, pairs, draws=config.draws, seed=config.seed)
    facts = {
        "tasks_left_out": sorted({task for group in groups for task in group.left_out}),
        "computes": [_facts(group, random, pairs) for group in groups],
        **trends.facts,
    }
    files = _write(config.out, rows, pairs, trends, facts)
    n_results = sum(len(seeds) for g in groups for tasks in g.results.values() for seeds in tasks.values())
    counts = {"runs": len(paths), "results": n_results, "rows_out": len(rows)}
    inputs = tuple(InputReport(path=path) for path in paths)
    return PartReport(name=_PART.name, counts=counts, inputs=inputs, files=files, facts=facts, peak_rss_bytes=peak_rss_bytes())


def rank_group(contrasts: Contrasts, control_of: dict[str, str]) -> list[Row]:
    """One row (RANKINGS) per filter, task and metric at one compute. `control_of`: filter → its random control."""
    group, measures = contrasts.group, contrasts.measures
    means: list[Contrast] = [(name, None) for name in group.filters]
    others: list[Contrast] = [(name, BASELINE) for name in group.filters if name != BASELINE and BASELINE in group.results]
    own: list[Contrast] = [*control_of.items()]
    found = contrasts.of(measures, [*means, *dict.fromkeys([*others, *own])])
    rows: list[Row] = []
    for measure in measures:
        told = {name: _row(group, name, measure, found[measure, (name, None)]) for name in group.filters}
        for name, compared in _compare({c[0]: found[measure, c] for c in others}).items():
            told[name].update({**compared, "p_better_than_no_filter": compared.pop("p")})
        for name, compared in _compare({c[0]: found[measure, c] for c in own}).items():
            named = {f"control_{key}": value for key, value in compared.items()}
            told[name].update({**named, "control": control_of[name], "p_better_than_control": named.pop("control_p")})
        rows += told.values()
    return rows


def pairs_of(contrasts: Contrasts) -> list[Row]:
    """Every pair of filters on the average (PAIRS), the one ahead first; p Holm-corrected over all pairs at this compute.

    p is two-sided: which filter is ahead was read off the same data. Pairs without a seed in common are left out.
    """
    group = contrasts.group
    mean = {name: group.mean(name) for name in group.filters}
    names = sorted(group.filters, key=lambda name: (-mean[name], name))
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :] if group.shared_seeds(a, b)]
    measure = (AVERAGE, MAIN)
    estimates = contrasts.of([measure], pairs) if pairs else {}
    told_of = [(pair, estimates[measure, pair]) for pair in pairs]
    found = [((b, a), _mirrored(each)) if each.mean < 0 else ((a, b), each) for (a, b), each in told_of]
    corrected = holm([min(1.0, 2 * min(each.p, each.p_below)) for _, each in found])
    rows = []
    for ((a, b), each), p in zip(found, corrected, strict=True):
        told = {"n_seeds": each.n_seeds, "probability": 1 - each.p, **_difference(each, p, verdict(each, p / 2, p / 2))}
        rows.append({**group.compute._asdict(), "filter": a, "other": b, **told})
    place = {name: at for at, name in enumerate(names)}
    return sorted(rows, key=lambda row: (place[row["filter"]], place[row["other"]]))


def verdict(found: Estimate, p_better: float, p_worse: float) -> str:
    """`better` and `worse` ask for an interval beside 0 and for a corrected one-sided p below 0.025; all else is a `tie`.

    Each side has half of the 5 %, so that of the comparisons corrected together any is called better or worse falsely in 5 %.
    """
    if found.low > 0 and p_better < LEVEL / 2:
        return "better"
    return "worse" if found.high < 0 and p_worse < LEVEL / 2 else "tie"


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
        "repeats": group.repeats(name),
    }


def _compare(found: dict[str, Estimate]) -> dict[str, Row]:
    """The differences of one task and metric as they are told, p corrected over them."""
    better, worse = holm([each.p for each in found.values()]), holm([each.p_below for each in found.values()])
    corrected = zip(found.items(), better, worse, strict=True)
    return {name: _difference(each, p, verdict(each, p, p_worse)) for (name, each), p, p_worse in corrected}


def _mirrored(found: Estimate) -> Estimate:
    """The same difference with its filters exchanged: over the seeds that two filters share, the other may be ahead."""
    return replace(found, mean=-found.mean, low=-found.high, high=-found.low, p=found.p_below, p_below=found.p)


def _difference(found: Estimate, p: float, said: str) -> Row:
    return {
        "difference": found.mean,
        "difference_low": found.low,
        "difference_high": found.high,
        "p": p,
        "verdict": said,
    }


def _facts(group: Group, random: set[str], pairs: Sequence[Row]) -> Row:
    """What a reader must know of one compute: which controls it lacks, how few seeds, how often data repeats, what is tied."""
    mine = [pair for pair in pairs if all(pair[name] == value for name, value in group.compute._asdict().items())]
    return {
        **group.compute._asdict(),
        "n_seeds": {name: len(group.seeds(name)) for name in group.filters},
        "repeats": {name: round(group.repeats(name), 3) for name in group.filters},
        "lacking": lacking(group, random),
        "pairs": len(mine),
        "ties": [[pair["filter"], pair["other"]] for pair in mine if pair["verdict"] == "tie"],
    }


def _write(out: str, rows: Sequence[Row], pairs: Sequence[Row], trends: Trends, facts: Row) -> tuple[str, ...]:
    tables = {
        "ranking": (rows, RANKINGS),
        "pairs": (pairs, PAIRS),
        "scalings": (trends.scalings, SCALINGS),
        "crossings": (trends.crossings, CROSSINGS),
    }
    with part_folder(out, _PART) as folder:
        for name, (lines, schema) in tables.items():
            with folder.open(f"{name}.parquet") as file:
                pq.write_table(pa.Table.from_pylist(list(lines), schema), file)
        with folder.open("ranking.md") as file:
            file.write(render(rows, pairs, trends, facts).encode("utf-8", "backslashreplace"))
        return folder.commit()
