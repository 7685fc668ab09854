"""The pool's funnel: what was left after each reason to drop, in the order in which they are asked."""

REASONS = {
    "dropped_invalid_uid": "uid is not 32 hex digits",
    "dropped_not_in_sample": "not in the sample",
    "dropped_text_blank": "alt text is blank",
    "dropped_text_unprintable": "alt text has no visible character",
    "dropped_text_too_long": "alt text is too long",
    "dropped_invalid_url": "URL is not valid",
    "dropped_removed_by_list": "on a removal list",
    "dropped_duplicate": "duplicate",
    "dropped_opt_out": "page opts out",
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
    """The funnel as lines of text."""
    print(f"{'candidates':<40}{'':>14}{counts.get('rows_in', 0):>14,}")
    for reason, dropped, left in funnel(counts):
        if dropped:
            print(f"{REASONS[reason]:<40}{-dropped:>14,}{left:>14,}")
    print(f"{'pool':<40}{'':>14}{counts.get('rows_out', 0):>14,}", flush=True)
