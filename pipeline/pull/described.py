"""What a release at a source says of itself: SHA256SUMS, release.json, and so the files that are to come."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from pipeline import io
from pipeline.pull import PullConfig
from pipeline.pull.fetching import fetch_bytes
from pipeline.pull.persisting import Patience
from pipeline.pull.source import Source
from pipeline.release.layout import CARD, CROISSANT, DESCRIPTION, SUMS, Release, arrays_path, release_of
from pipeline.release.sums import sums_in
from schemas.errors import UsageError, UserError

_MOST_BYTES = 256 << 20  # of SHA256SUMS and of release.json: two million files
_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class Described:
    """A release at a source."""

    sums_bytes: bytes
    sums: dict[str, str]  # file → sha256, hex; without release.json
    description_bytes: bytes
    release: Release

    @property
    def sums_sha256(self) -> str:
        """What SHA256SUMS itself hashes to, hex: names the release with all that it holds."""
        return hashlib.sha256(self.sums_bytes).hexdigest()


def described(source: Source, config: PullConfig, patience: Patience) -> Described:
    """Read SHA256SUMS, then release.json against it. Raises UserError where they are not there, wrong, or not to be trusted."""
    sums_bytes = fetch_bytes(source, SUMS, patience, _MOST_BYTES)
    found = hashlib.sha256(sums_bytes).hexdigest()
    place = io.join(source.public, SUMS)
    if config.sums_sha256 is not None and found != config.sums_sha256.lower():
        raise UserError(f"{place}: hashes to {found}, --sums-sha256 demands {config.sums_sha256.lower()}; do not trust this copy")
    sums = sums_in(sums_bytes, place)
    for name in sums:
        if name == SUMS or any(piece.startswith(("_", ".")) for piece in name.split("/")):
            raise UserError(f"{place}: names the file {name!r}, which no release has; do not trust this copy")
    if DESCRIPTION not in sums:
        raise UserError(f"{place}: does not list {DESCRIPTION}; give the folder of a release")
    wanted = sums.pop(DESCRIPTION)
    description = _verified(source, DESCRIPTION, wanted, patience)
    release = release_of(description, io.join(source.public, DESCRIPTION))
    if not all(isinstance(each, dict) and _are_counts(each) for each in (release.data, release.subsets)):
        raise UserError(f"{source.public}: {DESCRIPTION} does not say how many rows each file has; give the folder of a release")
    unknown = [name for name in (*release.data, *release.subsets) if name not in sums]
    if unknown:
        raise UserError(f"{source.public}: {DESCRIPTION} names {unknown[0]!r}, {SUMS} does not; do not trust this copy")
    return Described(sums_bytes=sums_bytes, sums=sums, description_bytes=description, release=release)


def _are_counts(found: Mapping[str, object]) -> bool:
    return all(isinstance(value, int) and value >= 0 for value in found.values())


def _verified(source: Source, name: str, sha256: str, patience: Patience) -> bytes:
    found = ""
    for anew in (False, True):
        data = fetch_bytes(source, name, patience, _MOST_BYTES, anew=anew)
        found = hashlib.sha256(data).hexdigest()
        if found == sha256:
            return data
    raise UserError(f"{io.join(source.public, name)}: its sha256 is {found}, {SUMS} says {sha256}; the source's copy is damaged")


def wanted_files(there: Described, config: PullConfig) -> list[str]:
    """The files to bring, but release.json and SHA256SUMS. Raises UsageError for a glob or a column that there is not."""
    _require_columns(there.release, config.columns)
    names = sorted(there.sums)
    if config.columns:
        # Card and Croissant describe all columns. Arrays are columns, too, and the largest: only if asked for.
        left_out = {CARD, CROISSANT, *(arrays_path(name) for name in there.release.data)}
        names = [name for name in names if name not in left_out or _matches(name, config.files)]
    if not config.files:
        return names
    for glob in config.files:
        if not any(_matches(name, [glob]) for name in (*there.sums, DESCRIPTION, SUMS)):
            shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
            raise UsageError(f"--files {glob}: there is no such file in the release; it has {shown}")
    return [name for name in names if _matches(name, config.files)]


def _require_columns(release: Release, columns: Sequence[str]) -> None:
    there = [column["name"] for column in release.columns if isinstance(column, dict) and "name" in column]
    unknown = [name for name in columns if name not in there]
    if unknown:
        raise UsageError(f"--columns {' '.join(unknown)}: not in this release; it has {', '.join(map(str, there))}")


def _matches(name: str, globs: Sequence[str]) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)
