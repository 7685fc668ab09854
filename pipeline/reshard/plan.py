"""The plan: per input shard the samples that are in the subset, where they stand in the tar and how often each is written."""

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from typing import IO

import numpy as np

from pipeline import io
from pipeline.manifest import InputReport, PartReport
from pipeline.options import StageConfig
from pipeline.reshard.inputs import InputShard
from pipeline.reshard.subset import look_up, map_subset, prepare
from pipeline.reshard.walk import Stretch, Walk
from pipeline.samples import clean, made_uid, parse_json, uid_of
from pipeline.stage import Part, PartFolder
from schemas.errors import UserError
from schemas.subsets import uid_rows

# at, length: bytes in the tar; count: times it is written; place: of its uid in the subset, sorted; hi, lo: its uid.
PICK = np.dtype([("at", "<u8"), ("length", "<u4"), ("count", "<u4"), ("place", "<u8"), ("hi", "<u8"), ("lo", "<u8")])
_COPIED_BYTES = 2**24


@dataclass(frozen=True, kw_only=True)
class PlanConfig(StageConfig):
    """What a plan depends on: hashes of the subset and of the shards' names and sizes."""

    subset: str
    inputs: str
    subset_at: str = field(metadata={"affects_output": False})


@dataclass(frozen=True, kw_only=True)
class PlanPart(Part):
    """A shard to look through."""

    shard: InputShard


def plan_shard(config: PlanConfig, part: Part, folder: PartFolder) -> PartReport:
    """Look a shard through: {part}.npy holds its (n,) PICK, in order. Raises UserError for what is no tar."""
    assert isinstance(part, PlanPart)  # noqa: S101 - the stage plans no other parts
    path = part.shard.path
    with _on_disk(path) as file:
        walk = Walk(file)
        picks, counts = _picks(walk, _subset(config.subset_at, config.subset))
        size = file.seek(0, 2)
    if walk.damage and not walk.samples:
        raise UserError(f"{path}: {walk.damage}; no sample of it could be read")
    error = walk.damage or _contradiction(part.shard, walk.samples)
    content = picks.tobytes()
    with folder.open(f"{part.name}.npy") as target:
        np.save(target, picks)
    report = InputReport(path=path, status="partial" if error else "ok", error=error, rows=walk.samples, bytes_read=size)
    facts = {"copies": int(picks["count"].sum()), "sha256": sha256(content).hexdigest()[:16]}
    return PartReport(name=part.name, counts=dict(counts), inputs=(report,), facts=facts)


def _picks(walk: Walk, subset: np.ndarray) -> tuple[np.ndarray, Counter[str]]:
    """The samples with a uid of the subset, and counts of all by what became of them."""
    places, uids, counts = [], [], Counter[str]()
    for stretch in walk:
        uid = _uid(walk, stretch)
        if uid is None:
            counts["no_uid" if stretch.json is not None else "no_json"] += 1
        else:
            places.append((stretch.start, stretch.length))
            uids.append(uid)
    rows = uid_rows(uids)
    first, times = look_up(subset, rows)
    if times.size and times.max() >= 2**32:
        raise UserError(f"uid {uids[int(times.argmax())]}: {times.max()} times in the subset; at most 2^32 - 1 can be written")
    picks = np.zeros(len(rows), PICK)
    spans = np.array(places, np.uint64).reshape(-1, 2)
    picks["at"], picks["length"], picks["count"], picks["place"] = spans[:, 0], spans[:, 1], times, first
    picks["hi"], picks["lo"] = rows["f0"], rows["f1"]
    chosen = picks[times > 0]
    counts.update(walk.dropped)
    counts.update(samples_in=walk.samples, samples_kept=len(chosen), not_in_subset=len(picks) - len(chosen))
    return chosen, counts


def _uid(walk: Walk, stretch: Stretch) -> str | None:
    """The uid that the json tells; as `score` has it, the one that caption and URL make where it tells none."""
    told = parse_json(stretch.json)
    url = told.get("url")
    if told.get("uid") is not None or not isinstance(url, str) or not url:
        return uid_of(told)
    text = walk.content(stretch.text)
    caption = clean(told.get("caption")) if text is None else text.decode("utf-8", "replace")
    return None if caption is None else made_uid(caption, url)


def _contradiction(shard: InputShard, found: int) -> str:
    """What the table of sizes or the stats say against the number of samples that were found."""
    expected, where = shard.expected, "the shard table"
    if expected is None and shard.stats:
        stats = parse_json(io.read_bytes(shard.stats)).get("successes")
        expected, where = (stats if isinstance(stats, int) else None), shard.stats.rsplit("/", 1)[-1]
    return "" if expected in (None, found) else f"holds {found} samples where {where} says {expected}"


@contextmanager
def _on_disk(path: str) -> Iterator[IO[bytes]]:
    """The tar, open on this machine: a store gives a whole file far faster than thousands of headers."""
    with io.open_read(path) as source:
        if io.is_local(path):
            yield source
            return
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(source, copy, _COPIED_BYTES)
            copy.flush()
            yield copy


@lru_cache(maxsize=1)
def _subset(path: str, _sha256: str) -> np.ndarray:
    """The sorted subset of that hash, mapped once per process; in a Spark task from the file as given."""
    if io.is_local(path):
        return map_subset(path)
    with tempfile.TemporaryDirectory() as scratch:
        return map_subset(prepare(path, scratch).path)  # what is mapped stays, though its name is gone


def read_picks(path: str) -> np.ndarray:
    """The (n,) PICK of a file that `plan_shard` wrote. Raises UserError."""
    with io.open_read(path) as file:
        try:
            picks: np.ndarray = np.load(file, allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise UserError(f"{path}: damaged ({error}); remove its folder and run the same command again") from error
    if picks.dtype != PICK:
        raise UserError(f"{path}: not a plan; remove its folder and run the same command again")
    return picks
