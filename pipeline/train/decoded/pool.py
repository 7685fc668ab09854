"""The decoded pool: all pairs of a folder of shards, images as uint8, captions as tokens, made once and read by every run.

FOLDER/{H}px_{L}tok_{hash}/ holds

  shards/NAME.u8, NAME.rows   what worker processes wrote of a shard: images (n, H, W, 3) uint8; parquet of uids and tokens
  tokens.npy, uids.npy        (N, L) int32 and (N,) `u8,u8`, joined from these
  complete.json               counts, what became of each shard, its rows, the SHA-256 of every file and, as `check`, its own hash
  verified.json               which files were found to have these hashes, and how they looked then (checks.py)

Runs that start together wait for one another; a killed one is taken up shard by shard. A shard whose files are not what was
written is decoded again, alone.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import io
from pipeline.manifest import InputReport, Manifest, PartReport, hash_of, to_json
from pipeline.score.decoding.tokens import Tokenizer
from pipeline.stage import Part, require_complete, run_stage
from pipeline.train.decoded.checks import damaged_files
from pipeline.train.decoded.decode import DecodeConfig, decode_shard
from pipeline.train.decoded.images import Images
from pipeline.train.decoded.joining import join_rows
from schemas.errors import UserError

_FORMAT = 2  # of the folder and of how images are decoded: a pool of another is not looked at
_TRIES = 3  # at making a pool whose files are what was written
_KINDS = (("u8", "pixels_sha256"), ("rows", "rows_sha256"))  # a shard's files and their hashes in its report


@dataclass(frozen=True, kw_only=True)
class DecodedPool:
    """N pairs in the shards' order. `inputs` says what became of each shard, `counts` what was dropped and why."""

    images: Images  # (N, H, W, 3) uint8, read by row
    tokens: np.ndarray  # (N, L) int32, memory-mapped
    uids: np.ndarray  # (N,) u8,u8
    counts: dict[str, int]
    inputs: tuple[InputReport, ...]


def decoded_pool(shards: str, root: str, *, image_size_px: int, tokenizer: Tokenizer, workers: int = 1) -> DecodedPool:
    """The decoded pool of a folder of shards, made under `root` by `workers` processes where it does not stand there yet.

    Raises UserError where `root` is not local, where the shards hold no pair that can be used, or where what is written to
    `root` is not what is read from it.
    """
    if not io.is_local(root):
        raise UserError(f"{root}: the decoded pool is read by row; give a local folder with --decoded")
    tars = io.list_files(shards, ".tar")
    if not tars:
        raise UserError(f"{shards}: no .tar files in it; give the folder that `download` wrote")
    length = int(tokenizer([""]).shape[1])
    name = f"{image_size_px}px_{length}tok_{_fingerprint(shards, tars, tokenizer)}"
    folder = Path(io.absolute(root)) / name
    folder.mkdir(parents=True, exist_ok=True)
    config = DecodeConfig(image_size_px=image_size_px, workers=workers)
    with _alone(folder.parent / f"_{name}.lock"):
        return _whole(folder, partial(_make, tars, folder, config, tokenizer))


def _fingerprint(shards: str, tars: Sequence[str], tokenizer: Tokenizer) -> str:
    """16 hex digits that change when the shards or the tokenizer do."""
    fs = io.url_to_fs(shards)[0]
    files = [[io.absolute(path), fs.size(name), str(fs.modified(name))] for path in tars for name in [io.url_to_fs(path)[1]]]
    words = tokenizer(["a photo of 12 small Dogs, 猫 & naïve Bäume"]).tolist()
    return hashlib.sha256(json.dumps([_FORMAT, require_complete(shards), files, words]).encode()).hexdigest()[:16]


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Hold the lock file; the kernel lets go of it when the process dies."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _whole(folder: Path, make: Callable[[], None]) -> DecodedPool:
    """The pool in `folder`, made or mended first where need be."""
    damaged: list[str] = []
    told = _told(folder)
    if told and any(report["status"] == "failed" for report in told["inputs"]):
        make()  # what failed once, as a disk or a worker may, is tried again
    for _ in range(_TRIES):
        told = _told(folder)
        if told is None:
            make()
            continue
        damaged = damaged_files(folder, told["sha256"])
        if not damaged:
            return _open(folder, told)
        for name in damaged:
            _forget(folder, name)
    raise UserError(
        f"{folder}: what is read is not what was written ({', '.join(damaged) or 'rows of its shards'}); check the disk"
    )


def _told(folder: Path) -> dict[str, Any] | None:
    """What complete.json says; None where it is not there or damaged."""
    try:
        told: dict[str, Any] = json.loads((folder / "complete.json").read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    check = told.pop("check", None) if isinstance(told, dict) else None
    return told if check and check == hash_of(told) else None


def _forget(folder: Path, name: str) -> None:
    """Have a damaged file made anew: for a shard's, `run_stage` finds it missing and does that shard again."""
    (folder / name).unlink(missing_ok=True)
    (folder / "complete.json").unlink(missing_ok=True)


def _make(tars: Sequence[str], folder: Path, config: DecodeConfig, tokenizer: Tokenizer) -> None:
    parts = [Part(name=io.stem(path), inputs=(path,)) for path in tars]
    manifest = run_stage(
        "decode",
        config,
        parts,
        partial(decode_shard, tokenizer=tokenizer),
        out=str(folder / "shards"),
        again=attrgetter("failed"),  # a tar that was read in part is another one, and this another pool, when it was mended
        ready="pipeline.train.decoded.decode" if config.workers > 1 else None,  # else a process more for what is soon done here
        facts=_shards_of,
    )
    _complete(folder, manifest, config.image_size_px, os.path.dirname(tars[0]))


def _shards_of(reports: Sequence[PartReport]) -> dict[str, Any]:
    return {"shards": [{"name": report.name, **report.facts} for report in reports if report.facts]}


def _complete(folder: Path, manifest: Manifest, side_px: int, shards: str) -> None:
    made = manifest.facts["shards"]
    if not sum(shard["rows"] for shard in made):
        first = next((report.error for report in manifest.failed_inputs), "no sample has an image, a caption and a uid")
        raise UserError(f"{shards}: no pair to train on in {len(manifest.parts)} shards ({first})")
    hashes = {f"shards/{shard['name']}.{kind}": shard[fact] for shard in made for kind, fact in _KINDS}
    # They are about to be joined, and may be what a run left that was killed long ago.
    for name in damaged_files(folder, {name: value for name, value in hashes.items() if name.endswith(".rows")}):
        _forget(folder, name)
        return
    shards_told = [[shard["name"], shard["rows"]] for shard in made]
    if (standing := _told(folder)) and standing["shards"] == shards_told and hashes.items() <= standing["sha256"].items():
        return
    hashes |= join_rows(folder, [(shard["name"], shard["rows"]) for shard in made])
    told = {
        "counts": manifest.counts,
        "inputs": [vars(report) for report in manifest.inputs],
        "shards": shards_told,
        "shape": [side_px, side_px, 3],
        "sha256": hashes,
    }
    with io.atomic_write(str(folder / "complete.json")) as file:
        file.write(to_json({**told, "check": hash_of(told)}))


def _open(folder: Path, told: dict[str, Any]) -> DecodedPool:
    files = [str(folder / "shards" / f"{name}.u8") for name, _ in told["shards"]]
    return DecodedPool(
        images=Images(files, [rows for _, rows in told["shards"]], tuple(told["shape"])),
        tokens=np.load(folder / "tokens.npy", mmap_mode="r"),
        uids=np.load(folder / "uids.npy"),
        counts=told["counts"],
        inputs=tuple(InputReport(**report) for report in told["inputs"]),
    )
