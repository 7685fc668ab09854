"""Directives in the column `robots` that refuse: extract writes them down; pool, download and the filter opt_out honour them."""

from functools import lru_cache

REFUSALS = ("noai", "noimageai", "noindex", "noimageindex", "none")
# Agents that collect for data sets, whoever runs them; what googlebot is told is not our business.
COLLECTORS = ("ccbot", "img2dataset", "webpairs")


@lru_cache
def refusals(agent: str = "") -> frozenset[str]:
    """What refuses, as the column has it: spoken to everyone, to a collector, or to `agent` (a name in lower case)."""
    agents = {"", *COLLECTORS, agent}
    return frozenset(addressed(spoken_to, directive) for spoken_to in agents for directive in REFUSALS)


def addressed(agent: str, directive: str) -> str:
    """A directive as the column has it: bare where it is for everyone, else agent:directive."""
    return f"{agent}:{directive}" if agent else directive
