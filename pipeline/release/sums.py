"""SHA256SUMS, in sha256sum's format: which files a release has and what each must hash to."""

import re
from collections.abc import Iterable, Mapping

from pipeline import io
from pipeline.nearby import sha256_of
from pipeline.release.layout import SUMS, require_inside
from schemas.errors import UserError

_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


def sums_of(folder: str, names: Iterable[str]) -> dict[str, str]:
    """sha256, hex, of files of a release by relative path."""
    return {name: sha256_of(io.join(folder, name)) for name in sorted(names)}


def write_sums(folder: str, sums: Mapping[str, str]) -> None:
    """Put SHA256SUMS in its place: last of all, a release is whole with it. `sha256sum -c SHA256SUMS` checks it, too."""
    with io.atomic_write(io.join(folder, SUMS)) as file:
        file.write("".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items())).encode())


def read_sums(folder: str) -> dict[str, str]:
    """sha256, hex, by relative path. Raises UserError where the folder has none, or it is not in sha256sum's format."""
    path = io.join(folder, SUMS)
    if not io.exists(path):
        raise UserError(f"{folder}: no {SUMS} in it; give a whole release, or run the command that makes it again")
    return sums_in(io.read_bytes(path), path)


def sums_in(data: bytes, path: str) -> dict[str, str]:
    """What the bytes of a SHA256SUMS, found at `path`, say. Raises UserError for a line that says nothing of the kind."""
    found: dict[str, str] = {}
    for number, line in enumerate(data.decode("utf-8", "backslashreplace").splitlines(), 1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise UserError(f"{path}:{number}: {line[:80]!r} is not `sha256  name`; download it again")
        found[require_inside(match[2], f"{path}:{number}")] = match[1]
    return found
