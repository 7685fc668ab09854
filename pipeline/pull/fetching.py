"""One whole file from a source: resumed by range, verified by its sha256, and only then given its name."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from pipeline.pull.partial import Partial
from pipeline.pull.persisting import Patience
from pipeline.pull.source import ChangedError, Opened, PassingError, Source
from schemas.errors import UserError


def fetch(source: Source, name: str, sha256: str, target: Path, patience: Patience) -> None:
    """Put the file `name`, which has to hash to `sha256`, at `target`; what an earlier run has of it is kept.

    A file with another hash is downloaded once more, from its start and past caches. Raises UserError naming both hashes where
    it is wrong again, or saying why it does not come; NoRoomError where it does not fit.
    """
    found = ""
    for anew in (False, True):
        with Partial(target, sha256) as part:
            if anew:
                part.restart()
            found = _download(source, name, part, patience, anew=anew)
            if found == sha256:
                part.become(target)
                return
            part.discard()
    raise UserError(f"its sha256 is {found}, SHA256SUMS says {sha256}; it was downloaded twice, so the source's copy is damaged")


def fetch_bytes(source: Source, name: str, patience: Patience, most_bytes: int, *, anew: bool = False) -> bytes:
    """A small file, in memory. Raises UserError where it has more than `most_bytes`, or does not come."""
    got = bytearray()

    def attempt() -> None:
        got.clear()
        with source.open(name, anew=anew) as opened:
            for block in counted(opened, patience):
                got.extend(block)
                if len(got) > most_bytes:
                    raise UserError(f"has more than {most_bytes:,} bytes, which no release has there; check the address")
            _require_all(opened, len(got))

    try:
        patience.persist(attempt, lambda: len(got))
    except UserError as error:
        raise UserError(f"{source.public.rstrip('/')}/{name}: {error}") from error
    return bytes(got)


def counted(opened: Opened, patience: Patience) -> Iterator[bytes]:
    """The blocks, each counted; ends with StoppedError when the run does."""
    for block in opened.blocks:
        patience.tally.add(bytes_downloaded=len(block))
        patience.go_on()
        yield block


def _download(source: Source, name: str, part: Partial, patience: Patience, *, anew: bool) -> str:
    """Complete the partial file; its sha256, hex."""
    hashing = _Hashing(part)

    def attempt() -> None:
        if part.whole:
            return
        try:
            with source.open(name, part.position, validator=part.validator if part.position else "", anew=anew) as opened:
                _begin(opened, part, hashing, patience)
                for block in counted(opened, patience):
                    _require_room_for(part.position + len(block), patience)
                    part.append(block)
                    hashing.update(block)
                _require_all(opened, part.position)
        except ChangedError:
            part.restart()
            raise

    if part.position:
        patience.tally.add(resumed=1)
    patience.persist(attempt, lambda: part.position)
    return hashing.hexdigest()


def _begin(opened: Opened, part: Partial, hashing: "_Hashing", patience: Patience) -> None:
    """Make the part what the source goes on with: the same from where it ended, or another, or the same from its start."""
    if opened.total is not None:
        _require_room_for(opened.total, patience)
    same = part.validator == opened.validator and part.total in {None, opened.total}
    if opened.start and not same:
        raise ChangedError("the file has changed meanwhile")
    if opened.start == 0:
        part.restart(opened.validator, opened.total)
        hashing.restart()


def _require_room_for(count: int, patience: Patience) -> None:
    if count > patience.most_bytes:
        raise UserError(f"has more than {patience.most_bytes:,} bytes; --max-file-gb allows more")


def _require_all(opened: Opened, position: int) -> None:
    if opened.total is not None and position != opened.total:
        raise PassingError(f"it ended after {position:,} of {opened.total:,} bytes")


class _Hashing:
    """sha256 of what a partial file holds: read once where it was there already, then fed with what is added."""

    def __init__(self, part: Partial) -> None:
        self._part = part
        self._digest = hashlib.sha256()
        part.read_all(self._digest)

    def restart(self) -> None:
        self._digest = hashlib.sha256()

    def update(self, block: bytes) -> None:
        self._digest.update(block)

    def hexdigest(self) -> str:
        return self._digest.hexdigest()
