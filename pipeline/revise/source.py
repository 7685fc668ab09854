"""The release that is revised: its description, its checksums, its data files as parts of the work."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline import io
from pipeline.manifest import Manifest
from pipeline.release.layout import SUMS, Release, arrays_path, read_release
from pipeline.release.sums import sums_in
from pipeline.revise.scan import FilePart
from schemas.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Old:
    """A release that stands: `sums` as SHA256SUMS has them, `digest` the sha256 of that file."""

    folder: str
    release: Release
    sums: Mapping[str, str]
    digest: str

    def path(self, name: str) -> str:
        """Where a file of it is."""
        return io.join(self.folder, name)


def read_old(folder: str) -> Old:
    """The release in a folder. Raises UserError where it is none, or release.json and SHA256SUMS are not of one release."""
    folder = io.absolute(folder)
    release = read_release(folder)
    path = io.join(folder, SUMS)
    if not io.exists(path):
        raise UserError(f"{folder}: no {SUMS} in it; give a whole release, or run the command that makes it again")
    data = io.read_bytes(path)
    sums = sums_in(data, path)
    missing = [name for name in (*release.data, *release.subsets) if name not in sums]
    if missing:
        raise UserError(f"{path}: does not have {missing[0]}, which release.json names; download the release again")
    return Old(folder=folder, release=release, sums=sums, digest=hashlib.sha256(data).hexdigest())


def file_parts(old: Old) -> list[FilePart]:
    """A part per data file, with its .npz where the release has one."""
    parts = []
    for name, rows in old.release.data.items():
        names = [name, *[each for each in [arrays_path(name)] if each in old.sums]]
        sums = {old.path(each): old.sums[each] for each in names}
        parts.append(FilePart(name=io.stem(name), inputs=tuple(sums), sums=sums, rows=rows))
    if len({part.name for part in parts}) < len(parts):
        raise UserError(f"{old.folder}: release.json names two data files of one name; download the release again")
    return parts


def whole(manifest: Manifest) -> Manifest:
    """The manifest. Raises UserError where any input failed: of a release, all is revised or nothing."""
    for report in [*manifest.failed_inputs, *manifest.partial_inputs]:
        error = report.error.removeprefix(f"{report.path}: ")
        raise UserError(f"{report.path}: {error}; nothing was published: mend it, then run the same command again")
    return manifest
