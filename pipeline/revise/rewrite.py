"""A data file of the next revision: the same file where no row of it went, else its other rows, and those of its arrays."""

import zipfile
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
import pyarrow as pa

from pipeline import io
from pipeline.manifest import InputReport, PartReport
from pipeline.metadata.arrays import array_names, open_arrays
from pipeline.nearby import sha256_of
from pipeline.release.census import Census
from pipeline.release.data_files import write_data_file
from pipeline.revise.carry import carry
from pipeline.revise.gone import Gone
from pipeline.revise.scan import FilePart, batches_of, schema_of
from pipeline.stage import Part, PartFolder

_ROWS_AT_ONCE = 1 << 14


def write_part(gone: Gone, _config: Any, part: Part, folder: PartFolder) -> PartReport:
    """NAME.parquet, and NAME.npz where the part has one, without the rows whose uids went."""
    assert isinstance(part, FilePart)  # noqa: S101 - the stage plans no other parts
    source, *beside = part.inputs
    keep = kept_rows(source, gone)
    names = [f"{part.name}.parquet", *[f"{part.name}.npz" for _ in beside]]
    if keep.all():
        for path, name in zip(part.inputs, names, strict=True):
            carry(path, folder.path(name))
    else:
        with folder.open(names[0]) as file:
            write_data_file(file, schema_of(source), kept_tables(source, keep))
        for path, name in zip(beside, names[1:], strict=True):
            with folder.open(name) as file:
                write_arrays(path, file, keep)
    removed = len(keep) - int(keep.sum())
    sums = {name: part.sums[path] if not removed else "" for path, name in zip(part.inputs, names, strict=True)}
    return PartReport(
        name=part.name,
        counts={
            "rows_in": len(keep),
            "rows_out": len(keep) - removed,
            "rows_removed": removed,
            "files_rewritten" if removed else "files_kept": 1,
        },
        inputs=tuple(InputReport(path=path) for path in part.inputs),
        facts={
            "rows": len(keep) - removed,
            "files": {name: _told(folder.path(name), known) for name, known in sums.items()},
            "census": _census_of(folder.path(names[0])),
        },
    )


def _told(path: str, known: str) -> dict[str, Any]:
    """sha256 and bytes of a file; what stands as it was has the sum that it was found to have."""
    fs, name = io.url_to_fs(path)
    return {"sha256": known or sha256_of(path), "bytes": int(fs.size(name) or 0)}


def _census_of(path: str) -> dict[str, Any]:
    census = Census()
    for batch in batches_of(path):
        census.count(pa.Table.from_batches([batch]))
    return census.as_json()


def kept_rows(source: str, gone: Gone) -> np.ndarray:
    """(n,) bool: which rows of a parquet stay."""
    masks = [~gone.rows(batch["uid"]) for batch in batches_of(source, ["uid"])]
    return np.concatenate([np.empty(0, bool), *masks])


def kept_tables(source: str, keep: np.ndarray) -> Iterator[pa.Table]:
    """All columns of the rows that stay."""
    at = 0
    for batch in batches_of(source):
        mask = keep[at : at + len(batch)]
        at += len(batch)
        if mask.any():
            yield pa.Table.from_batches([batch.filter(pa.array(mask))])


def write_arrays(source: str, target: IO[bytes], keep: np.ndarray) -> None:
    """An .npz with the rows that stay of each array, (n, d); some rows at a time, since arrays may be larger than memory."""
    rows = int(keep.sum())
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name in array_names(source):
            entry = zipfile.ZipInfo(f"{name}.npy")  # dated 1980: the time of writing must not show
            entry.external_attr = 0o600 << 16  # as np.savez has it
            with open_arrays(source, (name,)) as (array,), archive.open(entry, "w", force_zip64=True) as member:
                header = {"descr": array.take(0).dtype.str, "fortran_order": False, "shape": (rows, array.dimensions)}
                np.lib.format.write_array_header_1_0(member, header)
                for start in range(0, len(keep), _ROWS_AT_ONCE):
                    mask = keep[start : start + _ROWS_AT_ONCE]
                    member.write(array.take(len(mask))[mask].tobytes())
                array.require_end()
