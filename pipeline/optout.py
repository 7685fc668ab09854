"""Opt-out by robots directives, of a page or of an image: how they are read, and which of them refuse.

extract writes down what a page says, pool judges it, download judges what the image's own response says: all by these rules.
"""

import re
from collections.abc import Iterable, Iterator

from schemas.refusals import COLLECTORS, REFUSALS, addressed, refusals

# Directives that take a value after a colon; any other word before a colon is the user agent that is spoken to.
_VALUED = frozenset({"max-snippet", "max-image-preview", "max-video-preview", "unavailable_after"})
_EVERYONE = frozenset({"*", "robots"})
_NONE = {"none": ("noindex", "nofollow")}  # what the directive stands for; it is listed besides


def directives_in(value: str, agent: str = "") -> Iterator[str]:
    """The directives of one X-Robots-Tag or meta robots value, lower case.

    One spoken to a certain agent is "agent:directive"; in a header an agent's name holds until the next one (as Google's
    crawlers read it). `none` also yields the noindex and nofollow that it stands for.
    """
    for word in re.split(r"[,;]", value.lower()):
        name, colon, argument = (part.strip() for part in word.partition(":"))
        if colon and name not in _VALUED and not re.search(r"\s", name):
            agent = "" if name in _EVERYONE else name
            name, colon, argument = (part.strip() for part in argument.partition(":"))
        if colon and name in _VALUED:
            yield addressed(agent, f"{name}:{' '.join(argument.split())}")
            continue
        for directive in name.split():
            for meant in (directive, *_NONE.get(directive, ())):
                yield addressed(agent, meant)


def is_refused(values: Iterable[str], agent: str = "") -> bool:
    """Whether X-Robots-Tag headers (one value each) refuse the use of what they came with. `agent` as for `refusals`."""
    return any(directive in refusals(agent) for value in values for directive in directives_in(value))


__all__ = ["COLLECTORS", "REFUSALS", "directives_in", "is_refused", "refusals"]
