"""Which rows are on the lists, by what, and on which list. In: batches of rows of a release or a sidecar. Out: codes per row.

The first list that has a row is the one that it is laid to; on that list, the first of REASONS that holds.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.removal import REASONS as BY_ADDRESS
from pipeline.removal import Removal
from pipeline.removal.keys import HASHES
from pipeline.revise.phashes import near_listed
from schemas.errors import UserError
from schemas.subsets import uid_rows

# By what a row is to go. `content`: a hash of its image; `page`: the page it was found on, where that is asked for.
REASONS = (*BY_ADDRESS, "content", "phash", "page")
# Columns that have hashes of an image, as served or as stored.
CONTENT_COLUMNS = {"md5": ("md5",), "sha1": ("sha1",), "sha256": ("sha256", "stored_sha256")}
_DIGITS = {kind: digits for digits, kind in HASHES.items()}
_PHASH_DIGITS, _KEY_DIGITS = 16, 32


@dataclass(frozen=True, kw_only=True)
class Listed:
    """The lists, as tasks know them, and how they are meant."""

    lists: tuple[Removal, ...] = ()
    phash_bits: int = 0
    pages: bool = False

    @property
    def digests(self) -> tuple[str, ...]:
        """sha256 of each list, hex."""
        return tuple(digest for each in self.lists for digest in each.digests.values())

    @property
    def entries(self) -> tuple[int, ...]:
        """How many different entries each list has."""
        return tuple(each.table().entries for each in self.lists)

    def require_entries(self) -> None:
        """Raises UserError for a list without any entry: a mistake, as a rule, that should not pass for a revision."""
        for each in self.lists:
            if not each.table().entries:
                raise UserError(f"{', '.join(each.digests)}: no entry in it; give the list that was meant, or leave it out")

    def has(self, *kinds: str) -> bool:
        """Whether any list has an entry of one of these kinds."""
        return any(each.table().has(kind) for each in self.lists for kind in kinds)

    def columns(self, there: list[str]) -> list[str]:
        """Of the columns that are there, those that must be read, uid ahead."""
        wanted = ["uid"]
        wanted += ["url"] * self.has("url", "domain", *HASHES.values())
        wanted += ["domain"] * self.has("domain")
        wanted += [name for kind, names in CONTENT_COLUMNS.items() if self.has(kind) for name in names]
        wanted += ["phash"] * self.has("phash")
        wanted += ["page_url"] * (self.pages and self.has("url", "domain"))
        return [name for name in wanted if name in there]

    def judge(self, rows: pa.RecordBatch) -> tuple[np.ndarray, np.ndarray]:
        """(n,) int8: 0 where a row may stay, else one more than the place of its reason; and (n,) int32: which list, or -1."""
        codes, lists = np.zeros(len(rows), np.int8), np.full(len(rows), -1, np.int32)
        for number, removal in enumerate(self.lists):
            left = np.flatnonzero(codes == 0)
            found = self._by_one(removal, rows if len(left) == len(rows) else rows.take(pa.array(left)))
            codes[left] = found
            lists[left[found > 0]] = number
        return codes, lists

    def uids(self, uids: np.ndarray) -> np.ndarray:
        """(n,) bool: which of (n,) `u8,u8` uids stand on a list as such."""
        found = np.zeros(len(uids), bool)
        for removal in self.lists:
            found |= removal.table().contains("md5", np.stack([uids["f0"], uids["f1"]], axis=1))
        return found

    def _by_one(self, removal: Removal, rows: pa.RecordBatch) -> np.ndarray:
        table, names = removal.table(), rows.schema.names
        uids = _texts(rows, "uid") if table.has("md5") else [""] * len(rows)
        codes: np.ndarray = removal.reasons(uids, _texts(rows, "url"))
        if table.has("domain") and "domain" in names:
            _mark(codes, np.flatnonzero(_of_domains(removal, rows["domain"])), "domain")
        for kind, columns in CONTENT_COLUMNS.items():
            for name in columns if table.has(kind) else ():
                if name in names:
                    places, keys = hex_keys(rows[name], _DIGITS[kind])
                    _mark(codes, places[table.contains(kind, keys)], "content")
        if table.has("phash") and "phash" in names:
            places, keys = hex_keys(rows["phash"], _PHASH_DIGITS)
            _mark(codes, places[near_listed(keys[:, 0], table.keys("phash")[0], self.phash_bits)], "phash")
        if self.pages and "page_url" in names:
            _mark(codes, np.flatnonzero(removal.pages(_texts(rows, "page_url"))), "page")
        return codes


def hex_keys(column: pa.Array, digits: int) -> tuple[np.ndarray, np.ndarray]:
    """The places (m,) of rows that have so many hex digits, and the first 128 bits of these, (m, 2) uint64, 0 for bits beyond.

    A null or a damaged hash costs its row only.
    """
    texts = column.cast(pa.string())
    fits = pc.fill_null(pc.match_substring_regex(texts, f"^[0-9A-Fa-f]{{{digits}}}$"), False)
    found = pc.utf8_slice_codeunits(texts.filter(fits), 0, _KEY_DIGITS)
    keys = uid_rows(pc.binary_join_element_wise(found, "0" * max(0, _KEY_DIGITS - digits), ""))
    return np.flatnonzero(fits.to_numpy(zero_copy_only=False)), np.stack([keys["f0"], keys["f1"]], axis=1)


def _of_domains(removal: Removal, domains: pa.Array) -> np.ndarray:
    """(n,) bool: which rows' column `domain` is listed, or below what is. It speaks for URLs that cannot be taken apart."""
    coded = domains.cast(pa.string()).dictionary_encode()
    listed = removal.hosts([name or "" for name in coded.dictionary.to_pylist()])
    places = pc.fill_null(coded.indices, len(listed)).to_numpy(zero_copy_only=False)
    return np.asarray(np.append(listed, False)[places], bool)


def _mark(codes: np.ndarray, places: np.ndarray, reason: str) -> None:
    codes[places[codes[places] == 0]] = REASONS.index(reason) + 1


def _texts(rows: pa.RecordBatch, name: str) -> list[Any]:
    """A column's texts, "" for what is none, and where there is no such column."""
    if name not in rows.schema.names:
        return [""] * len(rows)
    return [text if isinstance(text, str) else "" for text in rows[name].to_pylist()]


def without_images(listed: Listed, columns: list[str]) -> tuple[str, ...]:
    """The kinds of hashes on the lists that the images of rows with these columns cannot be compared with."""
    kinds = [kind for kind, names in CONTENT_COLUMNS.items() if listed.has(kind) and not set(names) & set(columns)]
    return (*kinds, *["phash"] * (listed.has("phash") and "phash" not in columns))


__all__ = ["CONTENT_COLUMNS", "REASONS", "Listed", "hex_keys", "without_images"]
