"""metaclip: balances the pool over a list of entries: every concept is kept, those that are everywhere less often."""

import functools
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filters.contract import Filter, Pool
from filters.registry import Context, Entry, parameter
from filters.texts.folded_text import hashes, pieces
from filters.uids.uid_hash import mixed, uid_hashes
from schemas.errors import UsageError, UserError

_T = 20_000  # of the paper's set of 400 million pairs
_PIECE_BYTES = 1 << 20  # of text: with some matches per text, some ten times that in matches
_SPACE, _NOTHING = pa.scalar(" ", pa.large_string()), pa.scalar("", pa.large_string())
Case = Literal["exact", "fold"]


@dataclass(frozen=True)
class Balanced:
    """Keeps a pair where the draw of any entry in its text is below min(1, t / count of the entry); drops texts without one.

    A draw is a hash of seed, uid and entry: the same however files are cut, and whatever else is on the list.
    """

    entries: str
    case: Case
    t: int
    seed: int
    counts: np.ndarray = field(compare=False)  # (entries,) int64: the texts of the pool that each is in
    name: ClassVar[str] = "metaclip"
    reads: ClassVar[tuple[str, ...]] = ("uid", "text")
    costly: ClassVar[int] = 2

    def keep(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """(n,) True where a draw succeeds."""
        matcher = load_matcher(self.entries, self.case)
        uids, chance = uid_hashes(batch, self.seed), np.minimum(1.0, self.t / np.maximum(self.counts, 1))
        kept = np.zeros(batch.num_rows, bool)
        for rows, found in matcher.matches(batch["text"]):
            draws = (mixed(uids[rows] ^ matcher.hashes[found]) >> np.uint64(11)) * 2.0**-53
            kept[rows[draws < chance[found]]] = True
        return pa.array(kept)


@dataclass(frozen=True)
class MetaClip:
    """Balances over the entries in a file, counting on this pool how many texts each is in.

    `t` is the number of texts up to which an entry is kept whole. Without it `tail_share` finds t: the largest count for which
    the entries below it have at most that share of all matches, in the manner of MetaCLIP 2 (Chuang et al. 2025).
    """

    entries: str
    case: Case
    t: int | None
    tail_share: float | None
    seed: int
    name: ClassVar[str] = "metaclip"
    reads: ClassVar[tuple[str, ...]] = ("text",)

    def resolve(self, pool: Pool) -> Filter:
        """The counts, in one pass; 8 bytes of memory per entry beside the automaton, which takes some 400 per entry."""
        matcher = load_matcher(self.entries, self.case)
        counts = np.zeros(len(matcher.hashes), np.int64)
        for batch in pool(self.reads):
            for _, found in matcher.matches(batch["text"]):
                counts += np.bincount(found, minlength=len(counts))
        t = self.t if self.t is not None else count_at_tail(counts, self.tail_share or 0.0)
        return Balanced(self.entries, self.case, t, self.seed, counts)


@dataclass(frozen=True)
class Matcher:
    """Finds entries in texts as MetaCLIP's published code does: as substrings between spaces, in texts spaced by `spaced`."""

    automaton: Any
    hashes: np.ndarray  # (entries,) uint64
    case: Case

    def matches(self, texts: pa.Array) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(m,) int64 rows and (m,) int64 entries in them, each pair once, for some rows at a time, in order."""
        start = 0
        for piece in pieces(texts, _PIECE_BYTES):
            rows, entries = self._in_piece(spaced(pc.utf8_lower(piece) if self.case == "fold" else piece))
            yield rows + start, entries
            start += len(piece)

    def _in_piece(self, texts: pa.LargeStringArray) -> tuple[np.ndarray, np.ndarray]:
        """The bytes of all texts are searched as one; what reaches over the end of a text is no match."""
        _, offsets, data = texts.buffers()
        ends = np.frombuffer(offsets, np.int64)[texts.offset + 1 : texts.offset + len(texts) + 1]
        found = self.automaton.find_matches_as_indexes(np.frombuffer(data, np.uint8), overlapping=True)
        entry, first, stop = np.fromiter(itertools.chain.from_iterable(found), np.int64, 3 * len(found)).reshape(-1, 3).T
        row = np.searchsorted(ends, first, side="right")
        within = np.searchsorted(ends, stop - 1, side="right") == row
        pairs = np.unique(row[within] * len(self.hashes) + entry[within])
        return pairs // len(self.hashes), pairs % len(self.hashes)


def spaced(texts: pa.LargeStringArray) -> pa.LargeStringArray:
    """A space before and after each text and each of , . ; : ? ! `, and instead of each tab and line end: MetaCLIP's spacing."""
    apart = pc.replace_substring_regex(texts, r"([,.;:?!`])", r" \1 ")
    return pc.binary_join_element_wise(_SPACE, pc.replace_substring_regex(apart, r"[\t\n\r]", " "), _SPACE, _NOTHING)


def count_at_tail(counts: np.ndarray, share: float) -> int:
    """The largest count for which the entries below it have at most that share of all matches; 1 where nothing matched."""
    ordered = np.sort(counts[counts > 0])
    if not len(ordered):
        return 1
    below = np.searchsorted(np.cumsum(ordered), share * ordered.sum(), side="right")
    return int(ordered[min(below, len(ordered) - 1)])


@functools.cache
def load_matcher(path: str, case: Case) -> Matcher:
    """The matcher of the entries in a file, made once per process (some seconds for the paper's 500,000). Raises UserError."""
    from ahocorasick_rs import BytesAhoCorasick

    entries = read_entries(path)
    if case == "fold":
        entries = list(dict.fromkeys(pc.utf8_lower(pa.array(entries)).to_pylist()))
    return Matcher(BytesAhoCorasick([f" {entry} ".encode() for entry in entries]), hashes(pa.array(entries)), case)


def read_entries(path: str) -> list[str]:
    """The different entries of a file, in order, without blanks around them. Raises UserError where it is no list of texts."""
    try:
        content = Path(path).read_text(encoding="utf-8")
        lines = json.loads(content) if content.lstrip().startswith("[") else content.split("\n")
        if not all(isinstance(line, str) for line in lines):
            raise UserError(f"{path}: a JSON list whose items are not all texts")
        entries = list(dict.fromkeys(entry for line in lines if (entry := line.strip())))
        "".join(entries).encode()
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: no list of entries ({error}); give one entry per line, or a JSON list of texts") from error
    if not entries:
        raise UserError(f"{path}: has no entry; give one per line, or a JSON list of texts")
    return entries


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """What metaclip is told."""

    entries: str = parameter("the list, UTF-8: one entry per line, or a JSON list such as MetaCLIP's metadata.json", file=True)
    t: int | None = parameter(f"the number of texts from which on an entry is thinned; {_T} without tail_share", None)
    tail_share: float | None = parameter(
        "instead: t such that the entries below it have this share of all matches, 0 to 1 (0.06 is about the paper's)", None
    )
    case: Literal["exact", "fold"] = parameter(
        "whether A is another letter than a (exact: as MetaCLIP's code has it) or not (fold)", "exact"
    )
    seed: int = parameter("another seed, other draws", 0)


def _build(asked: Parameters, _: Context) -> MetaClip:
    if asked.t is not None and asked.tail_share is not None:
        raise UsageError("metaclip: give either t or tail_share")
    if asked.t is not None and asked.t < 1:
        raise UsageError(f"metaclip: t = {asked.t}: must be at least 1")
    if asked.tail_share is not None and not 0 <= asked.tail_share <= 1:
        raise UsageError(f"metaclip: tail_share = {asked.tail_share}: must be from 0 to 1")
    read_entries(asked.entries)  # now, so that a bad list is told before any work
    t = _T if asked.t is None and asked.tail_share is None else asked.t
    return MetaClip(asked.entries, asked.case, t, asked.tail_share, asked.seed)


ENTRY = Entry(
    name="metaclip",
    summary="pairs whose texts have an entry of a list, the more common ones thinned",
    source="Xu et al. 2023, Demystifying CLIP data (MetaCLIP)",
    parameters=Parameters,
    build=_build,
)
