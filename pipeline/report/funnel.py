"""Manifests → the funnel: how many links became candidates, pool, shards, scores and subsets, and what each step lost."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.manifest import Manifest, total
from pipeline.report.read import Root


@dataclass(frozen=True, kw_only=True)
class Step:
    """One level of the funnel: how many pairs reach it, and how many were lost on the way from the level before, by reason."""

    label: str
    stage: str
    count: int
    before: int  # pairs on the level before; 0 for the first
    lost: tuple[tuple[str, int], ...] = ()

    @property
    def unexplained(self) -> int:
        """Lost without a named reason."""
        return max(0, self.before - self.count - sum(number for _, number in self.lost)) if self.before else 0


# Each level: its label, the stage that counts it, and the count's name.
_LEVELS = (
    ("links found", "extract", "rows_in"),
    ("candidates", "extract", "rows_out"),
    ("pool", "pool", "rows_out"),
    ("downloaded", "download", "rows_out"),
    ("scored", "score", "rows_out"),
)


def funnel(root: Root) -> tuple[Step, ...]:
    """The levels that the root's manifests know, in the order of the flow."""
    steps: list[Step] = []
    for label, stage, name in _LEVELS:
        counts = counts_of(root.of(stage))
        if name not in counts:
            continue
        before = steps[-1].count if steps else 0
        steps.append(Step(label=label, stage=stage, count=counts[name], before=before, lost=_lost(label, counts)))
    return tuple(steps)


def kept(root: Root, scored: int) -> tuple[Step, ...]:
    """One level per subset, beside each other: the pairs that each filter kept of those scored."""
    return tuple(Step(label=s.name, stage="filter", count=len(s.uids), before=scored) for s in root.subsets)


def missing_stages(root: Root) -> list[str]:
    """The stages of the funnel that have no manifest."""
    return [stage for stage in dict.fromkeys(stage for _, stage, _ in _LEVELS) if not root.of(stage)]


def counts_of(manifests: Sequence[Manifest]) -> dict[str, int]:
    """The counts of all runs of a stage, summed."""
    return total([manifest.counts for manifest in manifests])


def losses(counts: dict[str, int]) -> tuple[tuple[str, int], ...]:
    """What a stage dropped, by reason, most first."""
    found = [(k, n) for k, n in counts.items() if n and k.startswith(("dropped_", "failed_")) and k != "failed_parts"]
    return tuple(sorted(found, key=lambda item: (-item[1], item[0])))


def _lost(label: str, counts: dict[str, int]) -> tuple[tuple[str, int], ...]:
    return () if label == "links found" else losses(counts)
