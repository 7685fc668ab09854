"""The account of a stage's folder: reports of its parts → the manifest, whose writing makes the folder complete."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pipeline import io
from pipeline.manifest import MANIFEST_NAME, Manifest, PartReport, Run, hash_of, manifest_from_json, to_json, total


def account(run: Run, reports: Sequence[PartReport], *, resumed: int, facts: Mapping[str, Any] | None = None) -> Manifest:
    """The manifest over these reports, and `facts` beside theirs; `resumed` is how many of the parts stood before the run."""
    return run.manifest(
        content_hash=content_hash(run.out, {name for report in reports for name in report.files}),
        counts=total([report.counts for report in reports]),
        inputs=(i for report in reports for i in report.inputs),
        parts=(report.name for report in reports if not report.failed),
        resumed=resumed,
        facts={**{report.name: told for report in reports if (told := _told(report.facts))}, **(facts or {})},
        peaks=(report.peak_rss_bytes for report in reports),
    )


def publish(out: str, manifest: Manifest) -> Manifest:
    """Write the manifest; it is returned."""
    with io.atomic_write(io.join(out, MANIFEST_NAME)) as file:
        file.write(to_json(manifest))
    return manifest


def publish_once(out: str, manifest: Manifest) -> Manifest:
    """`publish`, unless a manifest of the same content stands, which is left as it is; the one that stands now."""
    path = io.join(out, MANIFEST_NAME)
    if io.exists(path):
        try:
            standing = manifest_from_json(io.read_bytes(path))
        except (ValueError, KeyError, TypeError):
            return publish(out, manifest)
        if _content(standing) == _content(manifest):
            return standing
    return publish(out, manifest)


def content_hash(folder: str, names: Collection[str]) -> str:
    """Names and sizes of some of a folder's files, as a hash."""
    return hash_of({"files": sorted((name, size) for name, size in io.sizes(folder).items() if name in names)})


def _content(manifest: Manifest) -> tuple[Any, ...]:
    return manifest.stage, manifest.config_hash, manifest.content_hash, manifest.parts, manifest.counts, manifest.inputs


def _told(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Without those whose names begin with _: a manifest has the sum of them at most, since it may have many parts."""
    return {name: value for name, value in facts.items() if not name.startswith("_")}
