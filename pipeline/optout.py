"""Opt-out by robots directives, of a page or of an image: how they are read, and which of them refuse.

extract writes down what a page says, pool judges it, download judges what the image's own response says: all by these rules.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

REFUSALS = ("noai", "noimageai", "noindex", "noimageindex", "none")
# Agents that collect for data sets, whoever runs them; what googlebot is told is not our business.
COLLECTORS = ("ccbot", "img2dataset", "webpairs")
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
            yield _addressed(agent, f"{name}:{' '.join(argument.split())}")
            continue
        for directive in name.split():
            for meant in (directive, *_NONE.get(directive, ())):
                yield _addressed(agent, meant)


@lru_cache
def refusals(agent: str = "") -> frozenset[str]:
    """What refuses, as `directives_in` gives it: spoken to everyone, to a collector, or to `agent` (a name in lower case)."""
    agents = {"", *COLLECTORS, agent}
    return frozenset(_addressed(spoken_to, directive) for spoken_to in agents for directive in REFUSALS)


def is_refused(values: Iterable[str], agent: str = "") -> bool:
    """Whether X-Robots-Tag headers (one value each) refuse the use of what they came with. `agent` as for `refusals`."""
    return any(directive in refusals(agent) for value in values for directive in directives_in(value))


def _addressed(agent: str, directive: str) -> str:
    return f"{agent}:{directive}" if agent else directive
