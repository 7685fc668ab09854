"""scores or pool → a release: its files, made here or by Spark, then what describes them, checksums last.

The files are parts of a stage in OUT/data. What the stage keeps there (names beginning with _) tells no path of this machine:
someone will upload the folder as it is.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline import io
from pipeline.manifest import CONFIG_NAME, InputReport, Manifest, PartReport
from pipeline.release import ReleaseConfig
from pipeline.release.census import census_of
from pipeline.release.documents import write_documents
from pipeline.release.here import make_here
from pipeline.release.layout import DATA, SUMS, Release
from pipeline.release.provenance import newest_day, stages_of
from pipeline.release.shuffle import make_by_spark, survey_by_spark
from pipeline.release.source import Source, find_source
from pipeline.release.subsets import copy_subsets
from pipeline.release.survey import Survey, read_survey, survey_here, write_survey
from pipeline.release.write import Job, part_name
from pipeline.report.text import visible
from pipeline.spark import session_or_local
from pipeline.stage import Part, begin, done_parts, end
from schemas.columns import doc_of, unit_of
from schemas.errors import UserError
from schemas.releases import SORT_ORDER

# More rows, or more bytes of arrays, go through Spark: a million rows with all columns take 2 GB here, arrays thrice their size.
ROWS_HERE, BYTES_HERE = 1_000_000, 1 << 30


@dataclass(frozen=True, kw_only=True)
class _Files:
    """What decides the data files, as OUT/data/_config.json has it: no name or licence, which may change, and no path."""

    of: str
    embeddings: tuple[str, ...]
    file_rows: int
    upstream: dict[str, str] = field(default_factory=dict)


def publish_release(config: ReleaseConfig, spark: Any = None) -> Manifest:
    """Write the release, or what is missing of it. Raises UserError where a folder of the root is not complete or damaged."""
    _require_apart(config)
    source = find_source(config)
    data = io.join(config.out, DATA)
    io.make_folder(config.out)
    settings = _Files(of=config.of, embeddings=tuple(source.arrays), file_rows=config.file_rows, upstream=dict(source.upstream))
    with begin("release", settings, out=data) as this_run:
        io.remove(io.join(config.out, SUMS))  # it is whole again when this stands again
        survey, made, facts = _make(config, spark, source, data)
        parts = [Part(name=part_name(number)) for number in range(survey.files)]
        found = done_parts(data, parts)
        reports = [found[part.name] for part in parts]
        facts["subsets"] = _describe(config, source, reports)
        return end(this_run, reports, resumed=survey.files - made, facts=facts)


def _require_apart(config: ReleaseConfig) -> None:
    """Raises UserError where the release would stand on what somebody else keeps: it replaces files, and removes old subsets."""
    for name in (config.root, *(io.join(config.root, each) for each in ("2_pool", "3_shards", "4_scores", "5_subsets"))):
        if io.is_same(config.out, name):
            raise UserError(f"--out {config.out}: is the data root or a folder of its stages; give a folder of its own")
    data = io.join(config.out, DATA)  # its folder alone may be what a killed run left
    if not io.exists(io.join(data, CONFIG_NAME)) and (io.visible_names(data) or set(io.visible_names(config.out)) - {DATA}):
        raise UserError(f"--out {config.out}: not empty, and no release that this command began; give a folder of its own")


def _make(config: ReleaseConfig, spark: Any, source: Source, data: str) -> tuple[Survey, int, dict[str, Any]]:
    """Make the files that are missing: the survey, how many were, and what it cost."""
    started = time.monotonic()
    survey = read_survey(data)
    todo = _missing(data, survey)
    if survey is not None and not todo:
        return survey, 0, {}
    if spark is None and source.rows <= ROWS_HERE and source.rows * 2 * sum(source.arrays.values()) <= BYTES_HERE:
        survey = survey or survey_here(source, config.file_rows)
        todo = _surveyed(data, survey)
        make_here(source, survey, _job(config, source, survey, data), todo)
        shuffled = 0
    else:
        with session_or_local(spark, "webpairs release", cores=config.workers) as session:
            survey = survey or survey_by_spark(session, source, config.file_rows)
            todo = _surveyed(data, survey)
            shuffled = make_by_spark(session, source, survey, _job(config, source, survey, data), todo).bytes_written
    took_s = time.monotonic() - started
    return survey, len(todo), {"cost": {"wall_s": round(took_s, 3), "shuffle_bytes": shuffled}}


def _surveyed(data: str, survey: Survey) -> list[int]:
    write_survey(data, survey)
    return _missing(data, survey)


def _missing(data: str, survey: Survey | None) -> list[int]:
    if survey is None:
        return []
    reports = done_parts(data, [Part(name=part_name(number)) for number in range(survey.files)])
    sizes = io.sizes(data) if reports else {}
    done = {name for name, report in reports.items() if _is_whole(report, sizes)}
    return [number for number in range(survey.files) if part_name(number) not in done]


def _is_whole(report: PartReport, sizes: Mapping[str, int]) -> bool:
    """Whether a part's files have the bytes that were written: SHA256SUMS would name a cut one as it should be."""
    return all(sizes.get(name) == told["bytes"] for name, told in report.facts["_files"].items())


def _job(config: ReleaseConfig, source: Source, survey: Survey, data: str) -> Job:
    inputs = tuple(InputReport(path="/".join(each.file.path.rsplit("/", 2)[1:]), rows=each.rows) for each in source.files)
    return Job(folder=io.absolute(data), schema=source.schema, arrays=source.arrays, counts=survey.counts, inputs=inputs)


def _describe(config: ReleaseConfig, source: Source, reports: Sequence[PartReport]) -> dict[str, Any]:
    """Write all that is no data file; what is to be told of the subsets."""
    subsets, told = copy_subsets(config, [f"{report.name}.parquet" for report in reports])
    census = census_of([report.facts["_census"] for report in reports])
    release = Release(
        name=config.name,
        license=config.license,
        homepage=config.homepage or "",
        creator=config.creator or "",
        published=newest_day(config.root) or census.last,
        rows=sum(report.facts["_rows"] for report in reports),
        columns=tuple(
            {"name": f.name, "type": str(f.type), "unit": unit_of(f), "doc": doc_of(f), "nullable": f.nullable}
            for f in source.schema
        ),
        sort_order=SORT_ORDER,
        data={f"{DATA}/{report.name}.parquet": report.facts["_rows"] for report in reports},
        arrays=dict(source.arrays),
        subsets=subsets,
        stages=stages_of(config, reports, told),
        census=census.as_json(),
    )
    for stem, each in told.items():
        if each["not_in_release"]:
            lacking = f"{each['not_in_release']:,} of {each['entries']:,} entries are of pairs that the release does not have"
            print(f"subset {visible(stem)}: {lacking}")
    known = {f"{DATA}/{name}": told for report in reports for name, told in report.facts["_files"].items()}
    write_documents(config.out, release, known)
    return told
