"""What a stage says of its own run: per part, and in _manifest.json for the whole folder."""

import dataclasses
import hashlib
import json
import platform
import resource
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from typing import Any, Literal

Status = Literal["ok", "partial", "failed"]
MANIFEST_NAME = "_manifest.json"
CONFIG_NAME = "_config.json"
PARTS_FOLDER = "_parts"


@dataclass(frozen=True, kw_only=True)
class InputReport:
    """What became of one input file: read whole, read up to some damage, or not read."""

    path: str
    status: Status = "ok"
    error: str = ""
    rows: int = 0
    bytes_read: int = 0


@dataclass(frozen=True, kw_only=True)
class PartReport:
    """What became of one part. `counts` has one entry per outcome or named drop; `facts` what else the stage tells."""

    name: str
    counts: dict[str, int] = field(default_factory=dict)
    inputs: tuple[InputReport, ...] = ()
    files: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    duration_s: float = 0.0
    peak_rss_bytes: int = 0

    @property
    def failed(self) -> bool:
        """Whether nothing of the part could be used."""
        return bool(self.inputs) and all(report.status == "failed" for report in self.inputs)

    @property
    def damaged(self) -> bool:
        """Whether some input was not read whole."""
        return any(report.status != "ok" for report in self.inputs)

    def mended(self) -> "PartReport":
        """The report as it were, had all inputs been read whole."""
        return dataclasses.replace(self, inputs=tuple(dataclasses.replace(each, status="ok") for each in self.inputs))


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The account of a stage's folder, over this run and the runs it resumed."""

    stage: str
    config: dict[str, Any]
    config_hash: str
    versions: dict[str, str]
    counts: dict[str, int]
    inputs: tuple[InputReport, ...]
    parts: tuple[str, ...]
    parts_resumed: int
    facts: dict[str, Any]
    started_at: str
    duration_s: float
    peak_rss_bytes: int
    content_hash: str = ""  # of the names and sizes of the parts' files; "" where the stage writes no folder of parts

    @property
    def summary(self) -> str:
        """The counts as one line, "" where there are none."""
        return ", ".join(f"{name} {count:,}" for name, count in self.counts.items())

    @property
    def failed_inputs(self) -> list[InputReport]:
        """The inputs of which nothing could be read."""
        return [report for report in self.inputs if report.status == "failed"]

    @property
    def partial_inputs(self) -> list[InputReport]:
        """The inputs that were damaged but gave something."""
        return [report for report in self.inputs if report.status == "partial"]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of a stage: the stage's name, the folder or file it writes, the config as recorded, and when it began."""

    stage: str
    out: str
    described: dict[str, Any]
    started_at: str
    started: float  # time.monotonic(), s

    @classmethod
    def begun(cls, stage: str, out: str, described: dict[str, Any]) -> "Run":
        """A run that begins now."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(stage=stage, out=out, described=described, started_at=now, started=time.monotonic())

    def manifest(
        self,
        *,
        counts: dict[str, int],
        inputs: Iterable[InputReport],
        parts: Iterable[str],
        facts: dict[str, Any],
        peaks: Iterable[int] = (),
        resumed: int = 0,
        content_hash: str = "",
    ) -> Manifest:
        """The account of the run, ended now; `peaks` are the peak RSS of other processes that worked for it, bytes."""
        return Manifest(
            stage=self.stage,
            config=self.described,
            config_hash=hash_of(self.described),
            content_hash=content_hash,
            versions=versions(),
            counts=counts,
            inputs=tuple(inputs),
            parts=tuple(parts),
            parts_resumed=resumed,
            facts=facts,
            started_at=self.started_at,
            duration_s=round(time.monotonic() - self.started, 3),
            peak_rss_bytes=max([peak_rss_bytes(), *peaks]),
        )


def to_json(described: Any) -> bytes:
    """A dataclass (or plain value) as readable JSON with sorted keys."""
    value = dataclasses.asdict(described) if dataclasses.is_dataclass(described) else described  # type: ignore[arg-type]
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, default=str) + "\n").encode(
        "utf-8", "backslashreplace"
    )


def part_from_json(data: bytes) -> PartReport:
    """The inverse of to_json for a part."""
    value = json.loads(data)
    value["inputs"] = tuple(InputReport(**report) for report in value["inputs"])
    value["files"] = tuple(value["files"])
    return PartReport(**value)


def manifest_from_json(data: bytes) -> Manifest:
    """The inverse of to_json for a manifest."""
    value = json.loads(data)
    value["inputs"] = tuple(InputReport(**report) for report in value["inputs"])
    value["parts"] = tuple(value["parts"])
    return Manifest(**value)


def output_config(config: Any) -> dict[str, Any]:
    """The fields of a config that decide what is written, as JSON values."""
    chosen = {f.name: getattr(config, f.name) for f in dataclasses.fields(config) if f.metadata.get("affects_output", True)}
    return dict(json.loads(json.dumps(chosen, default=str)))


def growing_fields(config: Any) -> tuple[str, ...]:
    """The fields, dicts, of a config to which a later run may add entries, those that stand being as they were."""
    return tuple(f.name for f in dataclasses.fields(config) if f.metadata.get("grows"))


def hash_of(value: dict[str, Any]) -> str:
    """16 hex digits that name a config."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def total(counts: "list[dict[str, int]]") -> dict[str, int]:
    """Counts of all parts, summed by reason."""
    result: Counter[str] = Counter()
    for part in counts:
        result.update(part)
    return dict(sorted(result.items()))


def peak_rss_bytes() -> int:
    """The most memory this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def versions() -> dict[str, str]:
    """Versions of what a result may depend on, as installed here."""
    found = {"python": platform.python_version()}
    for name in ("webpairs", "pyarrow", "numpy", "torch", "open_clip_torch", "pyspark", "pillow"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found
