"""The search from end to end: a release and a word → the rows that are meant and where they stand besides, printed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline import io
from pipeline.cli import one_line
from pipeline.lookup import LookupConfig
from pipeline.lookup.reading import Table
from pipeline.lookup.rows import DUPLICATES, Found, copies_of, find, urls_by_uid, whole_rows
from pipeline.lookup.scope import hints, not_searched, searched, sought_as_text
from pipeline.lookup.sought import Sought, read_sought
from pipeline.lookup.standing import Removal, Subsets, removals_of
from pipeline.lookup.telling import as_json, copy_as_text, row_as_text, weights_as_text
from pipeline.release.layout import Release, read_release


@dataclass(frozen=True, kw_only=True)
class Answer:
    """All that is known before whole rows are read. `absent`: weights of a sought uid that has no row."""

    config: LookupConfig
    sought: Sought
    release: Release
    table: Table
    subsets: Subsets
    found: Found
    removals: Sequence[Removal] = ()
    absent: dict[str, int] = field(default_factory=dict)
    copies: Sequence[dict[str, Any]] = ()

    @property
    def missing(self) -> list[str]:
        """Files that the release has, but not this copy of it."""
        return [*self.table.missing, *self.subsets.missing]


def look_up(config: LookupConfig) -> None:
    """Print what is found, and write the list that is asked for. Raises UsageError and UserError for what cannot be searched."""
    answer = answer_to(config)
    for line in _as_text(answer) if config.format == "text" else _as_json(answer):
        print(line)


def answer_to(config: LookupConfig) -> Answer:
    """Search."""
    sought = read_sought(config.sought)
    release = read_release(config.release)
    table, subsets = Table(config.release, tuple(release.data)), Subsets(config.release, release)
    is_whole = config.format == "json" or config.copies or config.save_list
    found = find(table, sought, pages=config.pages, most=None if is_whole else config.limit)
    uids = [place.uid for place in found.places]
    is_uid = sought.kind == "uid"
    copies: list[dict[str, Any]] = []
    if config.copies:
        copies = copies_of(table, [sought.key] if is_uid else uids)
        copies = [copy | {"subsets": subsets.weights(copy["columns"]["uid"])} for copy in copies]
    if config.save_list:
        _save(config.save_list, [*uids, *(copy["columns"]["uid"] for copy in copies)])
    return Answer(
        config=config,
        sought=sought,
        release=release,
        table=table,
        subsets=subsets,
        found=found,
        removals=removals_of(config.release, release, sought.key) if is_uid else (),
        absent=subsets.weights(sought.key) if is_uid and not found.count else {},
        copies=copies,
    )


def rows_of(answer: Answer, most: int | None = None) -> Iterator[dict[str, Any]]:
    """The rows found, or the first `most`, with all columns and their weights in the subsets."""
    for rows in whole_rows(answer.table, answer.found.places[:most]):
        yield from (row | {"subsets": answer.subsets.weights(row["columns"]["uid"])} for row in rows)


def _as_text(answer: Answer) -> Iterator[str]:
    release, sought, count = answer.release, answer.sought, answer.found.count
    yield f"release: {one_line(str(release.name))}, revision {release.revision}"
    yield f"sought: {one_line(sought_as_text(sought))}\n"
    rows = list(rows_of(answer, answer.config.limit))
    originals = {row["columns"][name] for row in rows for name in DUPLICATES if row["columns"].get(name)}
    urls = urls_by_uid(answer.table, sorted(originals))
    for number, row in enumerate(rows, 1):
        yield "\n".join(row_as_text(row, number, count, urls)) + "\n"
    for copy in answer.copies[: answer.config.limit]:
        yield "\n".join(copy_as_text(copy)) + "\n"
    for removal in answer.removals:
        yield one_line(
            f"removed: revision {removal.revision} took out a pair with this uid, reason {removal.reason}, "
            f"list with sha256 {removal.list_sha256}"
        )
    if any(answer.absent.values()):
        yield f"it has no row, yet stands in subsets: {weights_as_text(answer.absent)}"
    yield from _closing(answer, len(rows))


def _closing(answer: Answer, shown: int) -> Iterator[str]:
    found, copies = answer.found.count, len(answer.copies)
    rest = f"; the first {shown:,} are shown, --limit N shows more, --format json all" if shown < found else ""
    yield f"found: {found:,} {'row' if found == 1 else 'rows'}{rest}" if found else "found: nothing"
    if answer.config.copies:
        rest = f"; the first {answer.config.limit:,} are shown" if copies > answer.config.limit else ""
        yield f"copies: {copies:,} rows{rest}"
    yield searched(answer.release, answer.table)
    scope = not_searched(answer.config, answer.sought, answer.release, answer.found, answer.missing)
    yield from (one_line(f"not searched: {each}") for each in scope)
    yield from (one_line(f"hint: {each}") for each in hints(answer.sought, answer.found))


def _as_json(answer: Answer) -> Iterator[str]:
    yield from (as_json("row", row) for row in rows_of(answer))
    yield from (as_json("copy", copy) for copy in answer.copies)
    yield from (as_json("removal", removal._asdict()) for removal in answer.removals)
    found = answer.found
    scope = not_searched(answer.config, answer.sought, answer.release, found, answer.missing)
    told = {
        "release": answer.release.name,
        "revision": answer.release.revision,
        "sought": {"kind": answer.sought.kind, "key": answer.sought.key},
        "found": found.count,
        "copies": len(answer.copies) if answer.config.copies else None,
        "subsets_of_absent_uid": answer.absent,
        "searched": {"rows": answer.table.counted(), "files": answer.table.files, "missing": answer.missing},
        "not_searched": list(scope),
    }
    yield as_json("summary", told)


def _save(path: str, uids: Sequence[str]) -> None:
    """A removal list: a uid per line, each once."""
    with io.atomic_write(path) as file:
        file.write("".join(f"{uid}\n" for uid in dict.fromkeys(uids)).encode())
