"""Release → the files that describe it: release.json, README.md, DATASHEET.md, croissant.json, and SHA256SUMS last.

Everything is made of the Release alone: `revise` writes them for its next revision by the same function.
"""

import json
from collections.abc import Mapping
from typing import Any

from pipeline import io
from pipeline.nearby import sha256_of
from pipeline.release.card import render_card, render_datasheet
from pipeline.release.croissant import croissant
from pipeline.release.layout import (
    CARD,
    CROISSANT,
    DATASHEET,
    DESCRIPTION,
    SUMS,
    Release,
    arrays_path,
    read_release,
    write_release,
)
from pipeline.release.sums import write_sums


def write_documents(folder: str, release: Release, known: Mapping[str, Mapping[str, Any]] | None = None) -> dict[str, str]:
    """Write all that describes the release in `folder`, whose data, subsets and ledger stand; sha256 by name, as in SHA256SUMS.

    `known` may tell {"sha256": hex, "bytes": n} of files by relative name, which are then not read again.
    """
    io.remove(io.join(folder, SUMS))
    write_release(folder, release)
    release = read_release(folder)  # in the order in which whoever reads it finds it
    told = {name: dict((known or {}).get(name) or _told(folder, name)) for name in files_of(folder, release)}
    _write(folder, CARD, render_card(release, told))
    _write(folder, DATASHEET, render_datasheet(release))
    _write(folder, CROISSANT, json.dumps(croissant(release, told), indent=1, ensure_ascii=False) + "\n")
    sums = {name: str(each["sha256"]) for name, each in told.items()}
    sums |= {name: sha256_of(io.join(folder, name)) for name in (CARD, DATASHEET, CROISSANT, DESCRIPTION)}
    write_sums(folder, sums)
    return sums


def files_of(folder: str, release: Release) -> list[str]:
    """The relative names of a release's data files, arrays, subsets and ledgers, sorted."""
    names = list(release.data)
    names += [arrays_path(name) for name in release.data] if release.arrays else []
    for subset in release.subsets:
        made = subset.removesuffix(".npy") + ".json"
        names += [subset, *([made] if io.exists(io.join(folder, made)) else [])]
    names += [f"ledger/{revision:05d}.parquet" for revision in range(2, release.revision + 1)]
    return sorted(name for name in names if not name.startswith("ledger/") or io.exists(io.join(folder, name)))


def _told(folder: str, name: str) -> dict[str, Any]:
    path = io.join(folder, name)
    fs, place = io.url_to_fs(path)
    return {"sha256": sha256_of(path), "bytes": int(fs.size(place) or 0)}


def _write(folder: str, name: str, text: str) -> None:
    with io.atomic_write(io.join(folder, name)) as file:
        file.write(text.encode("utf-8", "backslashreplace"))
