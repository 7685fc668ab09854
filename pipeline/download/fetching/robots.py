"""robots.txt (RFC 9309): what a site allows, remembered per origin; reading it is protego's, fetching it is fetch.py's."""

import time
from collections import OrderedDict
from functools import cache
from urllib.parse import urlsplit

from protego import Protego

from pipeline.download.outcomes import is_of_host
from pipeline.optout import COLLECTORS

MAX_BYTES = 512 * 1024  # RFC 9309, 2.5: at least 500 KiB are to be read; what lies beyond is ignored
_KEPT_S = 24 * 3600  # RFC 9309, 2.4
_KEPT_AFTER_FAILURE_S = 600
_REMEMBERED = 10_000  # origins
# Every agent of a group gets every rule of it: thousands of both together are an attack, not a robots.txt.
_MOST_RULES = 1_000_000
_AGENT_FIELDS = ("user-agent", "useragent", "user agent")  # as protego reads them
_MOST_WILDCARDS = 10_000  # each is looked for in each URL
_LONGEST_DELAY_S = 60.0


class Rules:
    """What one origin's robots.txt says. Where it cannot be had, everything there is to be left alone (RFC 9309, 2.3.1.4)."""

    def __init__(self, text: str = "", agent: str = "", *, unreachable: str | None = None) -> None:
        """`text` as served, "" where there is none; `unreachable` the reason why it cannot be had."""
        self.unreachable = unreachable or ("robots_unreachable" if _is_hostile(text) else None)
        self._parsed = Protego.parse(text) if text and self.unreachable is None else None
        self._agents = tuple(dict.fromkeys((agent, *COLLECTORS)))

    @classmethod
    def of(cls, reason: str | None, body: bytes, agent: str) -> "Rules":
        """The rules that follow from how the request for robots.txt ended: `reason` as in outcomes, None for a body."""
        if reason is None:
            return cls(body.decode("utf-8", "replace").removeprefix("\ufeff"), agent)
        if reason.startswith("http_4") and reason != "http_429":
            return cls(agent=agent)
        # A host that is not there says so better itself.
        return cls(agent=agent, unreachable=reason if is_of_host(reason) else "robots_unreachable")

    def refusal(self, url: str) -> str | None:
        """Why a URL may not be fetched, None where it may: it must be allowed to us and to those who collect for data sets."""
        if self.unreachable is not None or self._parsed is None:
            return self.unreachable
        return None if all(self._parsed.can_fetch(url, agent) for agent in self._agents) else "robots_txt"

    @property
    def delay_s(self) -> float:
        """The Crawl-delay that is asked for, at most a minute."""
        delay = self._parsed.crawl_delay(self._agents[0]) if self._parsed is not None else None
        return min(float(delay or 0.0), _LONGEST_DELAY_S)


class KnownRules:
    """Rules by origin: of the last 10,000, for a day (ten minutes where they could not be had)."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[float, Rules]] = OrderedDict()

    def get(self, origin: str) -> Rules | None:
        """The rules of an origin, None where they are not known or are out of date."""
        until, rules = self._known.get(origin, (0.0, None))
        return rules if time.monotonic() < until else None

    def put(self, origin: str, rules: Rules) -> None:
        """Remember an origin's rules."""
        self._known[origin] = time.monotonic() + (_KEPT_S if rules.unreachable is None else _KEPT_AFTER_FAILURE_S), rules
        self._known.move_to_end(origin)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)


@cache
def known_rules(_agent: str) -> KnownRules:
    """The rules that this process knows, over all its shards."""
    return KnownRules()


def origin_of(url: str) -> str:
    """scheme://host:port of a URL, whose robots.txt stands at its root."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _is_hostile(text: str) -> bool:
    lines = text.splitlines()
    agents = sum(line.strip().lower().startswith(_AGENT_FIELDS) for line in lines)
    return agents * len(lines) > _MOST_RULES or text.count("*") > _MOST_WILDCARDS
