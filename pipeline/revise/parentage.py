"""Whether a revision is the one before it less what its ledger names: rows, arrays, subsets; untouched files bit for bit."""

from collections.abc import Iterator
from itertools import zip_longest

import numpy as np
import pyarrow as pa

from pipeline import io
from pipeline.metadata.arrays import array_names, open_arrays
from pipeline.release.data_files import write_data_file
from pipeline.release.layout import DESCRIPTION, SUMS, arrays_path
from pipeline.revise.gone import Gone
from pipeline.revise.rewrite import kept_rows, kept_tables
from pipeline.revise.scan import batches_of, schema_of
from pipeline.revise.source import Old, read_old
from pipeline.row_groups import in_groups
from pipeline.subset_file import read_subset

_COMPARED_ROWS = 1 << 14


def differences(new: Old, parent: str, gone: Gone) -> list[str]:
    """What is wrong, file by file; `gone`: what the ledger of the revision `new` names. Raises UserError for no release."""
    old = read_old(parent)
    found = []
    if new.release.parent != old.digest:
        found.append(f"{DESCRIPTION}: names another parent than {parent} by its {SUMS}")
    if new.release.revision != old.release.revision + 1:
        found.append(f"{DESCRIPTION}: revision {new.release.revision}, its parent is revision {old.release.revision}")
    for what in ("data", "subsets"):
        if list(getattr(old.release, what)) != list(getattr(new.release, what)):
            found.append(f"{DESCRIPTION}: does not have the same {what} files as its parent")
            return found
    for name in old.release.data:
        found += [f"{name}: {wrong}" for wrong in _of_file(old, new, name, gone)]
    for name in old.release.subsets:
        uids = read_subset(old.path(name))
        if not np.array_equal(uids[~gone.has(uids)], read_subset(new.path(name))):
            found.append(f"{name}: is not its parent's less what the ledger names")
    return found


def _of_file(old: Old, new: Old, name: str, gone: Gone) -> Iterator[str]:
    keep = kept_rows(old.path(name), gone)
    names = [name, *[each for each in [arrays_path(name)] if each in old.sums]]
    if keep.all():
        yield from (f"lost no row, and has other bytes ({each})" for each in names if old.sums[each] != new.sums.get(each))
        return
    if any(each not in new.sums or not io.exists(new.path(each)) for each in names):
        yield "is not there, or not all of it"
        return
    if not _same_rows(old.path(name), keep, new.path(name)):
        yield "its rows are not its parent's less what the ledger names"
    if len(names) > 1 and not _same_arrays(old.path(names[1]), keep, new.path(names[1])):
        yield "its arrays are not its parent's less what the ledger names"


def _same_rows(source: str, keep: np.ndarray, other: str) -> bool:
    """Whether the rows that stay are those of `other`, in order."""
    schema = schema_of(source)
    if not schema.equals(schema_of(other)):
        return False
    ours = in_groups(kept_tables(source, keep), _COMPARED_ROWS)
    theirs = in_groups((pa.Table.from_batches([batch]) for batch in batches_of(other) if len(batch)), _COMPARED_ROWS)
    return all(one is not None and two is not None and _as_bytes(one) == _as_bytes(two) for one, two in zip_longest(ours, theirs))


def _as_bytes(table: pa.Table) -> bytes:
    """The same for the same rows only, where comparing by value has NaN unequal to itself."""
    sink = pa.BufferOutputStream()
    write_data_file(sink, table.schema, [table])
    return bytes(sink.getvalue())


def _same_arrays(source: str, keep: np.ndarray, other: str) -> bool:
    names = array_names(source)
    if names != array_names(other):
        return False
    for name in names:
        with open_arrays(source, (name,)) as (one,), open_arrays(other, (name,)) as (two,):
            if two.rows != int(keep.sum()) or two.dimensions != one.dimensions:
                return False
            for start in range(0, len(keep), _COMPARED_ROWS):
                mask = keep[start : start + _COMPARED_ROWS]
                if one.take(len(mask))[mask].tobytes() != two.take(int(mask.sum())).tobytes():
                    return False
    return True
