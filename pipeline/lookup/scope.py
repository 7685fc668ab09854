"""What a search looked at, and what it did not: said at the end, so that nobody takes "not found" for more than it means."""

from collections.abc import Iterator, Sequence

from pipeline.lookup import LookupConfig
from pipeline.lookup.reading import Table
from pipeline.lookup.rows import Found
from pipeline.lookup.sought import Sought
from pipeline.release.layout import Release

_SOUGHT = {
    "uid": "the uid {}",
    "url": "the address {}, whatever its scheme, default port, fragment and spelling of escapes",
    "host": "{} and every host below it",
}


def sought_as_text(sought: Sought) -> str:
    """What was understood."""
    return _SOUGHT[sought.kind].format(sought.key)


def searched(release: Release, table: Table) -> str:
    """How much was looked at."""
    rows = table.counted()
    part = "" if rows == release.rows else f" of the release's {release.rows:,}"
    return f"searched: {rows:,} rows{part} in {table.files:,} files"


def not_searched(config: LookupConfig, sought: Sought, release: Release, found: Found, missing: Sequence[str]) -> Iterator[str]:
    """What could still be there, and how to find it."""
    if missing:
        shown = ", ".join(missing[:3]) + ("…" if len(missing) > 3 else "")
        yield f"{len(missing):,} files that release.json names are not here: {shown}"
    if sought.kind != "uid" and not config.pages:
        what = f"pages of {sought.host}" if sought.kind == "host" else "a page with this address"
        yield f"images that stand elsewhere but on {what}: --pages reads the whole column page_url for them"
    if not config.copies and (found.count or sought.kind == "uid"):
        yield "rows that are marked as copies: --copies looks for them"
    if sought.kind != "uid" and release.removed:
        yield "what earlier revisions took out: the ledger has nothing but hashes of uids; look up the uids"


def hints(sought: Sought, found: Found) -> Iterator[str]:
    """What else to look up."""
    if sought.kind == "url" and not found.count:
        yield f"for all that is of that host: look up {sought.host}"
    if found.beside:
        yield f"{', '.join(sorted(found.beside)[:3])} has rows, too, of other hosts or of this: look that up for all of them"
