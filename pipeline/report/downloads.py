"""Download manifests → what became of the downloads: by outcome, by top-level domain, and shard by shard over the run."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.download.outcomes import FAILED_TO_DOWNLOAD, FAILED_TO_RESIZE, SUCCESS
from pipeline.report.funnel import counts_of
from pipeline.report.read import Root

MOST_TLDS = 15
REST = "other"

# The manifest's counts are named STATUS or STATUS_REASON.
_STATUSES = (SUCCESS, FAILED_TO_DOWNLOAD, FAILED_TO_RESIZE)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A status, the reason ("" where the count names none), and how many pairs ended so."""

    status: str
    reason: str
    pairs: int


@dataclass(frozen=True, kw_only=True)
class Domain:
    """A top-level domain (or `REST`: all that are not shown by name), the pairs tried there, and those that were stored."""

    name: str
    pairs: int
    successes: int


def outcomes(root: Root) -> tuple[Outcome, ...]:
    """What became of the pairs, most first."""
    return tuple(sorted(_outcomes(counts_of(root.of("download"))), key=lambda o: (-o.pairs, o.status, o.reason)))


def domains(root: Root) -> tuple[Domain, ...]:
    """The MOST_TLDS top-level domains with most pairs, most first, and then the rest; empty where no manifest tells."""
    pairs: Counter[str] = Counter()
    successes: Counter[str] = Counter()
    for tld, counts in _counts_by_tld(root):
        pairs[tld] += sum(outcome.pairs for outcome in counts)
        successes[tld] += sum(outcome.pairs for outcome in counts if outcome.status == SUCCESS)
    ranked = sorted((tld for tld in pairs if tld != REST and pairs[tld]), key=lambda tld: (-pairs[tld], tld))
    shown = [Domain(name=tld, pairs=pairs[tld], successes=successes[tld]) for tld in ranked[:MOST_TLDS]]
    hidden = [*ranked[MOST_TLDS:], REST]
    rest = Domain(name=REST, pairs=sum(pairs[tld] for tld in hidden), successes=sum(successes[tld] for tld in hidden))
    return (*shown, rest) if rest.pairs else tuple(shown)


def shard_rates(root: Root) -> tuple[float, ...]:
    """The success rate, 0 to 1, of each shard in the order of the shards' names."""
    told = {name: manifest.facts.get(name) for manifest in root.of("download") for name in manifest.parts}
    rates = (_dict(told[name]).get("success_rate") for name in sorted(told))
    return tuple(float(rate) for rate in rates if isinstance(rate, int | float) and 0 <= rate <= 1)


def _counts_by_tld(root: Root) -> Iterator[tuple[str, list[Outcome]]]:
    for manifest in root.of("download"):
        for tld, counts in _dict(manifest.facts.get("outcomes_by_tld")).items():
            yield tld, list(_outcomes(_dict(counts)))


def _outcomes(counts: dict[str, Any]) -> Iterable[Outcome]:
    for name, number in counts.items():
        status = next((status for status in _STATUSES if name.startswith(status)), None)
        if status and isinstance(number, int):
            yield Outcome(status=status, reason=name.removeprefix(status).removeprefix("_"), pairs=number)


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
