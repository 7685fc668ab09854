"""A release's folder: which files it has, and release.json, which tells programs what they are.

README.md            dataset card          DATASHEET.md    funnel, parameters, how it was made
croissant.json       Croissant JSON-LD     SHA256SUMS      sha256sum's format: every file but itself, by relative path
release.json         this module's Release, in JSON
data/00000.parquet   rows in SORT_ORDER over all files; beside each, where embeddings are published, data/00000.npz
subsets/NAME.npy     and NAME.json         ledger/00002.parquet   what revision 2 took out, as hashes
"""

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

from pipeline import io
from pipeline.manifest import to_json
from schemas.errors import UserError

CARD, DATASHEET, CROISSANT, SUMS, DESCRIPTION = "README.md", "DATASHEET.md", "croissant.json", "SHA256SUMS", "release.json"
DATA, SUBSETS, LEDGER = "data", "subsets", "ledger"
FORMAT = "webpairs release 1"


@dataclass(frozen=True, kw_only=True)
class Release:
    """What release.json says. Paths are relative to the release's folder, with `/`."""

    name: str
    revision: int = 1
    parent: str = ""  # sha256 of the SHA256SUMS of the revision before; "" for the first
    license: str = ""  # of the metadata, as an SPDX name; the images and texts are other people's
    homepage: str = ""
    creator: str = ""
    published: str = ""  # day, ISO 8601: of the newest stage's run, else of the newest page; a release made again has the same
    rows: int = 0
    columns: tuple[dict[str, Any], ...] = ()  # name, type (Arrow's), unit, doc, nullable
    sort_order: tuple[str, ...] = ()
    data: dict[str, int] = field(default_factory=dict)  # data/NNNNN.parquet → rows, in order
    arrays: dict[str, int] = field(default_factory=dict)  # array of the .npz → dimensions, where embeddings are published
    subsets: dict[str, int] = field(default_factory=dict)  # subsets/NAME.npy → entries, repeats counted
    removed: tuple[dict[str, Any], ...] = ()  # of each later revision: revision, rows, by reason, lists (sha256 each)
    census: dict[str, Any] = field(default_factory=dict)  # what the rows are like, as pipeline.release.census has it
    stages: dict[str, Any] = field(
        default_factory=dict
    )  # folder of the data root → stage, config, counts, versions; no local path
    format: str = FORMAT


def write_release(folder: str, release: Release) -> None:
    """Put release.json in its place."""
    with io.atomic_write(io.join(folder, DESCRIPTION)) as file:
        file.write(to_json(release))


def read_release(folder: str) -> Release:
    """What release.json says. Raises UserError where the folder is no release, or one of a later version of this format."""
    path = io.join(folder, DESCRIPTION)
    if not io.exists(path):
        raise UserError(f"{folder}: no {DESCRIPTION} in it; give the folder that `webpairs release`, `pull` or `revise` wrote")
    return release_of(io.read_bytes(path), path)


def release_of(data: bytes, path: str) -> Release:
    """The Release that the JSON `data`, found at `path`, describes. Raises UserError for anything else."""
    try:
        found = json.loads(data)
        if found["format"] != FORMAT:
            raise UserError(f"{path}: format {found['format']!r}, this version reads {FORMAT!r}; update webpairs")
        names = {each.name for each in dataclasses.fields(Release)}
        known: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in found.items() if name in names
        }
        release = Release(**known)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not the description of a release ({error}); download it again") from error
    for name in (*release.data, *release.subsets):
        require_inside(name, path)
    return release


def require_inside(name: str, told_by: str) -> str:
    """A relative file name, as it is. Raises UserError for one that would lead out of the release's folder."""
    pieces = name.split("/")
    if not name or name.startswith(("/", "\\")) or ":" in pieces[0] or any(piece in {"", ".", ".."} for piece in pieces):
        raise UserError(f"{told_by}: names the file {name!r}, which is no place inside a release; do not trust this copy")
    if not name.isprintable() or "\\" in name:
        raise UserError(f"{told_by}: names the file {name!r}, which has signs that no release uses; do not trust this copy")
    return name


def arrays_path(data_path: str) -> str:
    """The .npz that stands beside a data file."""
    return data_path.removesuffix(".parquet") + ".npz"
