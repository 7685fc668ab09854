"""The account of a shard: a count per outcome, by top-level domain too, the success rate, what is left to be retried."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import pyarrow as pa

from pipeline.download.fetching.url import target_of
from pipeline.download.outcomes import SUCCESS, count_name, may_pass_later
from pipeline.download.plan import ShardPart
from pipeline.manifest import InputReport, PartReport

BY_TLD = "_outcomes_by_tld"  # of a shard; the manifest has the sum of all
_MOST_TLDS = 200  # told apart in a manifest; the rest are counted together
_REST = "other"


def report(
    part: ShardPart, table: pa.Table, outcomes: Mapping[tuple[str, str | None], int], facts: Mapping[str, Any]
) -> PartReport:
    """The shard's report; `outcomes` counts (status, error_message) of its sidecar `table`."""
    rows, successes = sum(outcomes.values()), outcomes.get((SUCCESS, None), 0)
    counts = {count_name(status, reason): count for (status, reason), count in outcomes.items()}
    return PartReport(
        name=part.name,
        counts={"rows_in": rows, "rows_out": successes, **dict(sorted(counts.items()))},
        inputs=tuple(InputReport(path=piece.path, rows=piece.rows) for piece in part.slices),
        facts={
            "successes": successes,
            "success_rate": round(successes / max(1, rows), 6),
            "may_pass_later": sum(count for (_, reason), count in outcomes.items() if reason and may_pass_later(reason)),
            **facts,
            BY_TLD: _by_tld(table),
        },
    )


def told_by_tld(reports: Sequence[PartReport]) -> dict[str, Any]:
    """The manifest's fact outcomes_by_tld: outcomes of all shards by top-level domain, those with most pairs first."""
    found: dict[str, Counter[str]] = {}
    for part in reports:
        for tld, counts in part.facts.get(BY_TLD, {}).items():
            found.setdefault(tld, Counter()).update(counts)
    ranked = sorted(found, key=lambda tld: (tld == _REST, -found[tld].total(), tld))
    kept = {tld: found[tld] for tld in ranked[:_MOST_TLDS]}
    for tld in ranked[_MOST_TLDS:]:
        kept.setdefault(_REST, Counter()).update(found[tld])
    return {"outcomes_by_tld": {tld: dict(sorted(counts.items())) for tld, counts in kept.items()}}


def tld_of(url: str) -> str:
    """The last label of a URL's host, "ip" for an address, "none" where there is no host."""
    target = target_of(url)
    if target is None:
        return "none"
    label = target.host.rpartition(".")[2]
    return "ip" if label.isdigit() or label.endswith("]") else label


def _origin(url: str) -> str:
    """A URL up to the end of its host and port; anything else that has no such part as it is."""
    return "/".join(url.split("/", 3)[:3]) + "/"


def _by_tld(table: pa.Table) -> dict[str, dict[str, int]]:
    names = map(count_name, table["status"].to_pylist(), table["error_message"].to_pylist())
    found: dict[str, Counter[str]] = {}
    remembered = cache(tld_of)
    for url, name in zip(table["url"].to_pylist(), names, strict=True):
        found.setdefault(remembered(_origin(url)), Counter())[name] += 1
    return {tld: dict(counts) for tld, counts in found.items()}
