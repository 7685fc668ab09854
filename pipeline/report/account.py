"""Manifests → the account of the run: per stage its inputs, counts, time and memory; versions and configs."""

import os
import platform
from dataclasses import dataclass
from typing import Any

from pipeline.manifest import InputReport, Manifest
from pipeline.manifest import versions as installed
from pipeline.report.funnel import counts_of
from pipeline.report.read import FOLDERS, Root

MOST_CONFIGS = 6  # per stage: a ranking trains many models whose configs differ in filter and seed only


@dataclass(frozen=True, kw_only=True)
class Account:
    """One stage: over all its runs, the inputs by status, the counts by reason, seconds of wall time, peak memory in bytes."""

    stage: str
    folder: str
    runs: int
    inputs: dict[str, int]
    counts: dict[str, int]
    duration_s: float
    peak_rss_bytes: int
    troubles: tuple[InputReport, ...]  # the first that were not read whole


def accounts(root: Root) -> tuple[Account, ...]:
    """One Account per stage that left a manifest, in the order of the flow."""
    known = [*FOLDERS, *(m.stage for m in root.manifests)]
    return tuple(_account(stage, root.of(stage)) for stage in dict.fromkeys(known) if root.of(stage))


def provenance(root: Root) -> dict[str, Any]:
    """When the stages ran (the manifests' own times), the versions they ran with, and each stage's config."""
    times = sorted(manifest.started_at for manifest in root.manifests)
    versions = {name: value for manifest in root.manifests for name, value in manifest.versions.items()}
    shown = [manifest for stage in FOLDERS for manifest in root.of(stage)[:MOST_CONFIGS]]
    return {
        "first": times[0] if times else None,
        "last": times[-1] if times else None,
        "release": versions.get("webpairs", ""),
        "duration_s": sum(manifest.duration_s for manifest in root.manifests),
        "here": {"webpairs": installed()["webpairs"], "python": platform.python_version(), "machine": _machine()},
        "versions": sorted((name, value) for name, value in versions.items() if value != "not installed"),
        "configs": [(m.stage, m.config_hash, _settings(m, root.path.rstrip("/"))) for m in shown],
    }


def _settings(manifest: Manifest, root: str) -> list[tuple[str, str]]:
    """The config as text, paths from the root on, without what says nothing: empty values and the stage's own name."""
    said = {name: value for name, value in manifest.config.items() if name != "stage" and not name.startswith("upstream")}
    return [
        (name, str(value).replace(root, "ROOT"))
        for name, value in said.items()
        if value is not None and value is not False and value not in ([], "")
    ]


def _machine() -> str:
    """The kind of this machine, without its name: Linux x86_64, 4 cores."""
    cores = os.cpu_count() or 1
    return f"{platform.system()} {platform.machine()}, {cores} {'core' if cores == 1 else 'cores'}"


def _account(stage: str, manifests: tuple[Manifest, ...]) -> Account:
    inputs = [report for manifest in manifests for report in manifest.inputs]
    return Account(
        stage=stage,
        folder=FOLDERS.get(stage, ""),
        runs=len(manifests),
        inputs={status: sum(report.status == status for report in inputs) for status in ("ok", "partial", "failed")},
        counts=counts_of(manifests),
        duration_s=sum(manifest.duration_s for manifest in manifests),
        peak_rss_bytes=max(manifest.peak_rss_bytes for manifest in manifests),
        troubles=tuple(report for report in inputs if report.status != "ok")[:8],
    )
