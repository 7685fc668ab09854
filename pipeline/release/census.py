"""What the rows of a release are like, counted while they are written: what card, datasheet and Croissant tell.

A census of files is the sum of those of the files; `revise` may count again by the same means.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_MOST_DOMAINS = 100  # of a file are told; a domain's rows stand together, so the largest of all are among those of some file
_VALUES = ("lang", "crawl", "source", "eval_set")  # columns of few values, all counted
_MOST_VALUES = 1000
_TRUE = ("opted_out", "tdm_reserved")


@dataclass
class Census:
    """Counts over rows; `as_json` and `of` take them through release.json."""

    rows: int = 0
    filled: Counter[str] = field(default_factory=Counter)  # column → rows with a value
    true: Counter[str] = field(default_factory=Counter)
    values: dict[str, Counter[str]] = field(default_factory=dict)  # column → value → rows
    domains: Counter[str] = field(default_factory=Counter)  # the largest
    n_domains: int = 0
    text_chars: int = 0
    first: str = ""  # earliest and latest fetched_at, ISO 8601, "" where unknown
    last: str = ""
    _edges: tuple[str, str] | None = None  # first and last domain, in SORT_ORDER

    def count(self, table: pa.Table) -> None:
        """Add rows, which follow those before them in SORT_ORDER."""
        if not len(table):
            return
        self.rows += len(table)
        for name in table.column_names:
            self.filled[name] += len(table) - table[name].null_count
        for name in _TRUE:
            if name in table.column_names:
                self.true[name] += pc.sum(table[name]).as_py() or 0
        for name in _VALUES:
            if name in table.column_names:
                self.values.setdefault(name, Counter()).update(_counted(table[name]))
        if "text" in table.column_names:
            self.text_chars += pc.sum(pc.utf8_length(table["text"])).as_py() or 0
        if "domain" in table.column_names:
            self._count_domains(table["domain"])
        if "fetched_at" in table.column_names:
            self._count_times(table["fetched_at"])

    def add(self, other: "Census") -> None:
        """Add the census of the file that follows."""
        self.rows += other.rows
        self.filled.update(other.filled)
        self.true.update(other.true)
        for name, counts in other.values.items():
            self.values.setdefault(name, Counter()).update(counts)
        self.domains.update(other.domains)
        shared = bool(self._edges and other._edges and self._edges[1] == other._edges[0])
        self.n_domains += other.n_domains - shared
        self._edges = (self._edges[0], other._edges[1]) if self._edges and other._edges else self._edges or other._edges
        self.text_chars += other.text_chars
        self.first = min(filter(None, (self.first, other.first)), default="")
        self.last = max(self.last, other.last)

    def as_json(self) -> dict[str, Any]:
        """The census as JSON values, in an order of its own."""
        return {
            "rows": self.rows,
            "filled": dict(sorted(self.filled.items())),
            "true": dict(sorted(self.true.items())),
            "values": {name: _most(counts, _MOST_VALUES) for name, counts in sorted(self.values.items())},
            "domains": _most(self.domains, _MOST_DOMAINS),
            "n_domains": self.n_domains,
            "text_chars": self.text_chars,
            "first": self.first,
            "last": self.last,
            "edges": list(self._edges or ()),
        }

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "Census":
        """The inverse of `as_json`; of what is no census, an empty one."""
        made = cls()
        if not told:
            return made
        made.rows, made.n_domains, made.text_chars = int(told["rows"]), int(told["n_domains"]), int(told["text_chars"])
        made.first, made.last = str(told["first"]), str(told["last"])
        made.filled, made.true, made.domains = Counter(told["filled"]), Counter(told["true"]), Counter(told["domains"])
        made.values = {name: Counter(counts) for name, counts in told["values"].items()}
        edges = told["edges"]
        made._edges = (str(edges[0]), str(edges[1])) if edges else None
        return made

    def _count_domains(self, column: pa.ChunkedArray) -> None:
        counts = _counted(column)
        edges = (column[0].as_py(), column[-1].as_py())
        fresh = Census(domains=Counter(counts), n_domains=len(counts), _edges=edges)
        self.add(fresh)

    def _count_times(self, column: pa.ChunkedArray) -> None:
        ends = pc.min_max(column)
        if ends["min"].is_valid:
            first, last = (pc.strftime(ends[name], "%Y-%m-%d").as_py() for name in ("min", "max"))
            self.add(Census(first=first, last=last))


def census_of(parts: Iterable[Mapping[str, Any]]) -> Census:
    """The census over the files of a release, in their order."""
    whole = Census()
    for told in parts:
        whole.add(Census.of(told))
    return whole


def _counted(column: pa.ChunkedArray) -> dict[str, int]:
    counted = pc.value_counts(column.drop_null())
    return dict(zip(map(str, counted.field("values").to_pylist()), counted.field("counts").to_pylist(), strict=True))


def _most(counts: Counter[str], most: int) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:most])
