"""The pool's funnel: what was left after each reason to drop, in the order in which they are asked; and what the run cost."""

from typing import Any

_OPT_OUTS = {
    "noai": "noai",
    "noimageai": "noimageai",
    "none": "none",
    "noindex": "noindex",
    "noimageindex": "noimageindex",
    "tdm": "TDM reservation",
}
REASONS = {
    "dropped_invalid_uid": "uid is not 32 hex digits",
    "dropped_not_in_sample": "not in the sample",
    "dropped_text_blank": "alt text is blank",
    "dropped_text_unprintable": "alt text has no visible character",
    "dropped_text_too_long": "alt text is too long",
    "dropped_invalid_url": "URL is not valid",
    "dropped_removed_by_uid": "on a removal list by uid",
    "dropped_removed_by_url": "on a removal list by URL",
    "dropped_removed_by_domain": "on a removal list by domain",
    "dropped_removed_by_hash": "on a removal list by hash of URL",
    "dropped_duplicate": "duplicate",
    "dropped_duplicate_url": "another text for the same URL",
    "dropped_duplicate_text": "another URL for the same text",
    **{f"dropped_opt_out_{reason}": f"page opts out: {words}" for reason, words in _OPT_OUTS.items()},
}


def funnel(counts: dict[str, int]) -> list[tuple[str, int, int]]:
    """Per reason: (reason, rows dropped, rows left), in order; the manifest's counts of a pool in."""
    left, steps = counts.get("rows_in", 0), []
    for reason in REASONS:
        dropped = counts.get(reason, 0)
        left -= dropped
        steps.append((reason, dropped, left))
    return steps


def print_funnel(counts: dict[str, int]) -> None:
    """The funnel as lines of text; below it what --opt-out flag kept in spite of its page."""
    print(f"{'candidates':<40}{'':>14}{counts.get('rows_in', 0):>14,}")
    for reason, dropped, left in funnel(counts):
        if dropped:
            print(f"{REASONS[reason]:<40}{-dropped:>14,}{left:>14,}")
    print(f"{'pool':<40}{'':>14}{counts.get('rows_out', 0):>14,}")
    for reason, words in _OPT_OUTS.items():
        if flagged := counts.get(f"flagged_opt_out_{reason}"):
            print(f"{f'flagged in it: page opts out: {words}':<54}{flagged:>14,}")


def print_cost(cost: dict[str, Any] | None) -> None:
    """What this run cost, the manifest's fact, in one line; nothing where the run had nothing to do."""
    if cost:
        print(
            f"{cost['rows_per_s']:,} rows/s; {cost['shuffle_bytes'] / 2**20:,.1f} MiB through the shuffle, "
            f"{cost['shuffle_bytes_per_row']:,} bytes per candidate"
        )
    print(end="", flush=True)
