"""What a subset's NAME.json tells of it: the filter, its parameters, and how many rows each rule removed."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from filters.compose import answers, cheap_first
from filters.contract import Filter, Selector, is_costly
from filters.describe import describe, parameters
from pipeline.filter.recipe import Recipe
from schemas.subsets import uid_rows

# In a large pool a costly rule is asked for the rows that the others leave, and for one row in so many, chosen by uid: what it
# removes alone is estimated from these.
SAMPLED_ONE_IN = 16
LARGE_POOL_ROWS = 250_000


class Waterfall:
    """Rows that each of k rules removes: alone, and in order (of those that the rules before it left). Costly rules come last."""

    def __init__(self, rules: Sequence[Filter], *, sampled: bool = False) -> None:
        self.rules = tuple(cheap_first(rules))
        self.rows_in = 0
        self.rows_sampled = 0
        self.alone = np.zeros(len(self.rules), dtype=np.int64)
        self.in_order = np.zeros(len(self.rules), dtype=np.int64)
        self.sampled = sampled and len(self.rules) > 1 and any(is_costly(rule) for rule in self.rules)

    @classmethod
    def total(cls, rules: Sequence[Filter], parts: Sequence["Waterfall"]) -> "Waterfall":
        """The sum over files."""
        whole = cls(rules, sampled=any(part.sampled for part in parts))
        for part in parts:
            whole.rows_in += part.rows_in
            whole.rows_sampled += part.rows_sampled
            whole.alone += part.alone
            whole.in_order += part.in_order
        return whole

    def judge(self, batch: pa.RecordBatch) -> np.ndarray:
        """Ask the rules about a batch of n rows, and count their answers; what they all keep, (n,) bool."""
        kept = np.ones(batch.num_rows, dtype=bool)
        sampled = self._sample_of(batch)
        for i, rule in enumerate(self.rules):
            estimated = self.sampled and is_costly(rule)
            asked = kept | sampled if estimated else np.ones_like(kept)
            answered = np.zeros_like(kept)
            answered[asked] = answers(rule, batch, asked)
            counted = sampled if estimated else asked
            self.alone[i] += np.count_nonzero(counted & ~answered)
            self.in_order[i] += np.count_nonzero(kept & ~answered)
            kept &= answered
        self.rows_in += batch.num_rows
        self.rows_sampled += int(np.count_nonzero(sampled))
        return kept

    def dropped(self) -> dict[str, int]:
        """Rows dropped by the rule that met them first; nothing for a rule that reads no column and so drops none."""
        counts: Counter[str] = Counter()
        for rule, count in zip(self.rules, self.in_order.tolist(), strict=True):
            if rule.reads:
                counts[f"dropped_{rule.name}"] += count
        return dict(counts)

    def rows(self) -> list[dict[str, Any]]:
        """One entry per rule, in order, as JSON values."""
        left = self.rows_in - np.cumsum(self.in_order)
        return [
            {"rule": describe(rule), **self._alone(i), "removed_in_order": int(self.in_order[i]), "left": int(left[i])}
            for i, rule in enumerate(self.rules)
        ]

    def _alone(self, i: int) -> dict[str, int]:
        if not (is_costly(self.rules[i]) and self.sampled):
            return {"removed_alone": int(self.alone[i])}
        share = self.alone[i] / max(1, self.rows_sampled)
        return {"removed_alone": round(share * self.rows_in), "removed_alone_estimated_from": self.rows_sampled}

    def _sample_of(self, batch: pa.RecordBatch) -> np.ndarray:
        if not self.sampled:
            return np.zeros(batch.num_rows, dtype=bool)
        return np.asarray(uid_rows(batch["uid"])["f1"] % np.uint64(SAMPLED_ONE_IN) == 0)


def account(recipe: Recipe, chosen: Filter, waterfall: Waterfall) -> dict[str, Any]:
    """The entries of NAME.json that say how the subset was made: what was asked for, and what that came to on this pool."""
    rules, asked = waterfall.rules, recipe.keep
    own = dict(zip(_distinct(rules), map(parameters, rules), strict=True)) if len(rules) > 1 else parameters(chosen)
    return {
        "recipe": recipe.name,
        **({"source": recipe.source} if recipe.source else {}),
        "parameters": {**own, **(parameters(asked) if asked is not chosen and len(rules) == 1 else {})},
        "asked": describe(asked),
        "resolved": describe(chosen),
        **({"sample": describe(recipe.sample)} if recipe.sample is not None else {}),
        **({"files": dict(recipe.files)} if recipe.files else {}),
        "waterfall": waterfall.rows(),
    }


def _distinct(rules: Sequence[Filter | Selector]) -> list[str]:
    """The rules' names; a name that several have is numbered from the second on."""
    seen: Counter[str] = Counter()
    names = []
    for rule in rules:
        seen[rule.name] += 1
        names.append(rule.name if seen[rule.name] == 1 else f"{rule.name} {seen[rule.name]}")
    return names
