"""The ledger of a revision: one row per pair that it took out, its uid hashed, by what and by which list; written, read."""

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import io
from pipeline.release.layout import LEDGER, Release
from pipeline.revise.gone import keys_of
from pipeline.revise.listed import REASONS
from schemas.errors import UserError
from schemas.releases import LEDGERS

_DIGITS = 64


def ledger_name(revision: int) -> str:
    """Where in a release the ledger of that revision is."""
    return f"{LEDGER}/{revision:05d}.parquet"


def ledger_names(release: Release) -> list[str]:
    """The ledgers that a release should have. Raises UserError where release.json does not tell which."""
    try:
        return [ledger_name(int(entry["revision"])) for entry in release.removed]
    except (TypeError, KeyError, ValueError) as error:
        raise UserError(f"{release.name}: release.json does not say what its revisions removed; download it again") from error


def ledger_of(hits: pa.Table, digests: Sequence[str]) -> pa.Table:
    """LEDGERS, sorted by uid_sha256, of HITS: each uid once, as it is hit first; `digests`: the sha256 of each list."""
    hashed = [hashlib.sha256(uid.lower().encode()).hexdigest() for uid in hits["uid"].to_pylist()]
    order = pc.sort_indices(pa.array(hashed, pa.string()))  # stable
    uids = pa.array(hashed, pa.string()).take(order)
    first = np.ones(len(uids), bool)
    first[1:] = pc.not_equal(uids[1:], uids[:-1]).to_numpy(zero_copy_only=False)
    codes, lists = (hits[name].combine_chunks().take(order).filter(pa.array(first)) for name in ("code", "list"))
    reasons = pa.array(REASONS, pa.string()).take(pc.subtract(codes, pa.scalar(1, pa.int8())))
    columns = [uids.filter(pa.array(first)), reasons, pa.array(digests, pa.string()).take(lists)]
    return pa.Table.from_arrays(columns, schema=LEDGERS)


def write_ledger(path: str, table: pa.Table) -> None:
    """Put a ledger in its place: the same rows give the same bytes."""
    with io.atomic_write(path) as file:
        pq.write_table(table, file, compression="zstd", write_page_checksum=True)


def read_ledger(path: str) -> pa.Table:
    """A ledger. Raises UserError where it is none."""
    try:
        with io.open_read(path) as file:
            table = pq.read_table(file)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path}: damaged ledger ({error}); download the release again") from error
    uids = table["uid_sha256"] if table.schema.names == LEDGERS.names else None
    if uids is None or not pc.all(pc.match_substring_regex(uids, f"^[0-9a-f]{{{_DIGITS}}}$"), min_count=0).as_py():
        raise UserError(f"{path}: not a ledger of removed pairs; download the release again")
    return table


def uids_in_ledgers(paths: Sequence[str]) -> np.ndarray:
    """(n,) `u8,u8`: the first 128 bits of the hashes of all uids that these ledgers name. Raises UserError."""
    hashes = (uid for path in paths for uid in read_ledger(path)["uid_sha256"].to_pylist())
    return keys_of(bytes.fromhex(uid[: _DIGITS // 2]) for uid in hashes)
