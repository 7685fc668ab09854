"""The next revision's folder around its data files: subsets, ledgers, what describes it, checksums last; what is swept away."""

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from pipeline import io
from pipeline.lease import FOLDER as RUNNING
from pipeline.manifest import CONFIG_NAME, MANIFEST_NAME, PARTS_FOLDER
from pipeline.release.census import census_of
from pipeline.release.documents import write_documents
from pipeline.release.layout import (
    CARD,
    CROISSANT,
    DATA,
    DATASHEET,
    DESCRIPTION,
    LEDGER,
    SUBSETS,
    SUMS,
    Release,
    arrays_path,
    read_release,
)
from pipeline.release.sums import write_sums
from pipeline.revise.carry import carried
from pipeline.revise.gone import Gone
from pipeline.revise.ledger import ledger_name, ledger_names, read_ledger, write_ledger
from pipeline.revise.listed import Listed
from pipeline.revise.scan import Recorded, require_sum
from pipeline.revise.source import Old
from pipeline.revise.subsets import beside, translate
from schemas.errors import UserError

_ANOTHER = "{out}: has a revision by other lists or options; give another --out, or remove the folder"
_DESCRIBED = (CARD, DATASHEET, CROISSANT, DESCRIPTION)


@dataclass(frozen=True, kw_only=True)
class Revised:
    """What a revision takes out: of which release, how it was asked for, the ledger, and the entries of each list."""

    old: Old
    recorded: Recorded
    ledger: pa.Table
    entries: tuple[int, ...]

    @property
    def revision(self) -> int:
        """Its number."""
        return self.old.release.revision + 1

    def entry(self) -> dict[str, Any]:
        """What release.json tells of it, but for the rows: hashes and counts, no name or content of a list."""
        by_list = Counter(self.ledger["list_sha256"].to_pylist())
        lists = zip(self.recorded.lists, self.entries, strict=True)
        return {
            "revision": self.revision,
            "by_reason": dict(sorted(Counter(self.ledger["reason"].to_pylist()).items())),
            "lists": [{"sha256": digest, "entries": entries, "hits": by_list[digest]} for digest, entries in lists],
            "phash_bits": self.recorded.phash_bits,
            "pages": self.recorded.pages,
        }

    def is_at(self, out: str) -> bool:
        """Whether it stands whole at `out` already. Raises UserError where another one does."""
        if not io.exists(io.join(out, SUMS)):
            return False
        there = read_release(out)
        told = {name: value for name, value in (there.removed[-1] if there.removed else {}).items() if name != "rows"}
        if told == self.entry() and read_ledger(io.join(out, ledger_name(self.revision))).equals(self.ledger):
            return True
        raise UserError(_ANOTHER.format(out=out))


def require_place(out: str, work: str, old: Old, recorded: Recorded) -> None:
    """Raises UserError where something stands at `out` that is no revision of this release by these lists, whole or half done."""
    fs, name = io.url_to_fs(out)
    if not fs.exists(name):
        return
    if io.exists(io.join(out, SUMS)) and (there := read_release(out)).parent == old.digest:
        told = there.removed[-1] if there.removed else {}
        lists = tuple(each.get("sha256") for each in told.get("lists", ()))
        if (lists, told.get("phash_bits"), told.get("pages")) != (recorded.lists, recorded.phash_bits, recorded.pages):
            raise UserError(_ANOTHER.format(out=out))
    elif not io.exists(work) and any(_is_visible(path) for path in fs.ls(name, detail=False)):
        raise UserError(f"{out}: not empty, and no revision of {old.folder}; give another --out, or remove the folder")


def _is_visible(path: str) -> bool:
    return not path.rstrip("/").rsplit("/", 1)[-1].startswith(("_", "."))


def publish(out: str, revised: Revised, files: Mapping[str, Mapping[str, Any]], gone: Gone, listed: Listed) -> Release:
    """Write all of the next revision but its data files, of which `files` tells: rows, files, census by part; sums last."""
    old = revised.old
    for name in _carried(old):
        require_sum(old.path(name), old.sums[name])
        carried(old.path(name), io.join(out, name))
    subsets = {}
    for name in old.release.subsets:
        require_sum(old.path(name), old.sums[name])
        done = translate(old.path(name), io.join(out, name), gone, listed, revised.revision)
        subsets[name] = done.entries - done.gone
    write_ledger(io.join(out, ledger_name(revised.revision)), revised.ledger)
    rows = {name: int(files[io.stem(name)]["rows"]) for name in old.release.data}
    release = replace(
        old.release,
        revision=revised.revision,
        parent=old.digest,
        rows=sum(rows.values()),
        data=rows,
        subsets=subsets,
        removed=(*old.release.removed, {**revised.entry(), "rows": old.release.rows - sum(rows.values())}),
        census=census_of([files[io.stem(name)]["census"] for name in old.release.data]).as_json(),
    )
    known = {f"{DATA}/{name}": each for told in files.values() for name, each in told["files"].items()}
    sums = write_documents(out, release, known)
    others = {name: old.sums[name] for name in _carried(old) if name not in sums}
    if others:
        write_sums(out, {**sums, **others})
    return release


def _carried(old: Old) -> list[str]:
    """The files that every revision has from the one before: earlier ledgers, and what its publisher laid beside them."""
    release = old.release
    made = {*_DESCRIBED, *release.data, *map(arrays_path, release.data), *release.subsets, *map(beside, release.subsets)}
    missing = [name for name in ledger_names(release) if name not in old.sums]
    if missing:
        raise UserError(f"{old.folder}: {SUMS} does not have {missing[0]}, a ledger; download the release again")
    return sorted(name for name in old.sums if name not in made)


def swept(out: str, work: str) -> None:
    """Remove what only the making of a revision needed; the folder itself, too, where nothing else is in it."""
    data = io.join(out, DATA)
    for path in (work, *(io.join(data, name) for name in (CONFIG_NAME, MANIFEST_NAME, PARTS_FOLDER, RUNNING))):
        fs, name = io.url_to_fs(path)
        if fs.exists(name):
            fs.rm(name, recursive=True)
    for folder in (out, data, io.join(out, SUBSETS), io.join(out, LEDGER)):
        io.sweep(folder)
    fs, name = io.url_to_fs(out)
    if io.is_local(out) and fs.exists(name) and not fs.ls(name, detail=False):
        with suppress(OSError):
            fs.rmdir(name)


__all__ = ["Revised", "publish", "require_place", "swept"]
