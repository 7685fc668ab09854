"""States of a run under way: all that a killed run needs to go on as if nothing had happened, in files of the run's folder.

_state_{step}.pt is what torch.save writes, followed by its SHA-256, 32 bytes: a file that a power cut or a disk has damaged is
known as such. It appears whole or not at all, the two newest stay, and none is left when the run is done.
"""

import hashlib
import io as bytes_io
import sys
from dataclasses import dataclass, field
from typing import IO, Any

import torch

from pipeline import io
from pipeline.train.saving import save
from schemas.errors import UserError

_PREFIX, _SUFFIX = "_state_", ".pt"
_KEPT = 2
_DIGEST_BYTES = 32


@dataclass(frozen=True, kw_only=True)
class State:
    """Where a run stands after `step` steps. Raises TypeError for what lacks a field."""

    identity: str  # of the run's config: another run's state is of no use
    step: int
    model: dict[str, torch.Tensor]
    optimizer: dict[str, Any]
    random: list[list[torch.Tensor]]  # of each process, by rank
    lines: list[dict[str, Any]] = field(default_factory=list)  # of metrics.jsonl so far
    checkpoints: list[int] = field(default_factory=list)  # samples seen of those written so far


def write_state(folder: str, state: State) -> None:
    """Write a state and remove all but the two newest."""
    with io.atomic_write(io.join(folder, f"{_PREFIX}{state.step:012d}{_SUFFIX}")) as file:
        hashed = _Hashed(file)
        save(vars(state), hashed)  # type: ignore[arg-type] # all that it calls is there
        file.write(hashed.digest.digest())
    for path in _paths(folder)[_KEPT:]:
        io.remove(path)


def newest_state(folder: str, identity: str) -> State | None:
    """The newest whole state of the run in its folder, None where there is none. Says on stderr which files are of no use."""
    for path in _paths(folder):
        state = _read(path)
        if state is None:
            print(f"train: {path}: damaged; going on from an older state, or anew", file=sys.stderr)
        elif state.identity != identity:
            print(f"train: {path}: of a run with another configuration; not used", file=sys.stderr)
        else:
            return state
    return None


def remove_states(folder: str) -> None:
    """Remove every state: the run is done, or begins anew."""
    for path in _paths(folder):
        io.remove(path)


def _read(path: str) -> State | None:
    try:
        content = memoryview(io.read_bytes(path))
    except UserError:
        return None
    body, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
    if hashlib.sha256(body).digest() != digest:
        return None
    try:
        return State(**torch.load(bytes_io.BytesIO(body), map_location="cpu", weights_only=True))
    except TypeError:  # whole, but written by a version with other fields
        return None


def _paths(folder: str) -> list[str]:
    """The states' files, the newest first."""
    fs, name = io.url_to_fs(folder)
    names = [path.rstrip("/").rsplit("/", 1)[-1] for path in fs.ls(name, detail=False)] if fs.isdir(name) else []
    return [io.join(folder, found) for found in sorted(filter(_is_state, names), reverse=True)]


def _is_state(name: str) -> bool:
    return name.startswith(_PREFIX) and name.endswith(_SUFFIX)


class _Hashed:
    """A file to write to that hashes what passes."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()


__all__ = ["State", "newest_state", "remove_states", "write_state"]
