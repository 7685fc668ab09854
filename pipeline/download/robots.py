"""X-Robots-Tag on an image's own response: may it be used."""

# Directives that have a colon of their own: they address no crawler.
_WITH_VALUE = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})
# What img2dataset refuses by default.
REFUSED = frozenset({"noai", "noimageai", "noindex", "noimageindex"})


def is_refused(values: list[str], agent: str) -> bool:
    """Whether X-Robots-Tag headers (one value each) forbid the use to everyone or to the crawler named `agent` (lower case).

    `noai` speaks to everyone; `otherbot: noai, noindex` to that crawler only.
    """
    for value in values:
        addressed = ""
        for piece in value.lower().split(","):
            name, colon, directive = piece.rpartition(":")
            if colon and name.strip().partition(":")[0] not in _WITH_VALUE:
                addressed = name.strip()
            if addressed in ("", agent) and directive.strip() in REFUSED:
                return True
    return False
