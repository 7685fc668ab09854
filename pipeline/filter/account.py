"""What a subset's NAME.json tells of it: the filter, its parameters, and how many rows each rule removed."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from filters.contract import Filter, Selector
from filters.describe import describe, parameters


class Waterfall:
    """Rows that each of k rules removes: alone, and in order (of the rows that the rules before it left)."""

    def __init__(self, rules: Sequence[Filter]) -> None:
        self.rules = tuple(rules)
        self.rows_in = 0
        self.alone = np.zeros(len(self.rules), dtype=np.int64)
        self.in_order = np.zeros(len(self.rules), dtype=np.int64)

    @classmethod
    def total(cls, rules: Sequence[Filter], parts: Sequence["Waterfall"]) -> "Waterfall":
        """The sum over files."""
        whole = cls(rules)
        for part in parts:
            whole.rows_in += part.rows_in
            whole.alone += part.alone
            whole.in_order += part.in_order
        return whole

    def add(self, masks: Sequence[np.ndarray], rows: int) -> np.ndarray:
        """Count a batch of n rows by the rules' answers, (n,) bool each; their conjunction, (n,) bool."""
        kept = np.ones(rows, dtype=bool)
        for i, mask in enumerate(masks):
            self.alone[i] += rows - np.count_nonzero(mask)
            self.in_order[i] += np.count_nonzero(kept & ~mask)
            kept &= mask
        self.rows_in += rows
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
        columns = zip(self.rules, self.alone.tolist(), self.in_order.tolist(), left.tolist(), strict=True)
        return [
            {"rule": describe(rule), "removed_alone": alone, "removed_in_order": in_order, "left": after}
            for rule, alone, in_order, after in columns
        ]


def account(name: str, asked: Filter | Selector, chosen: Filter, waterfall: Waterfall) -> dict[str, Any]:
    """The entries of NAME.json that say how the subset was made: what was asked for, and what that came to on this pool."""
    rules = waterfall.rules
    own = {rule.name: parameters(rule) for rule in rules} if len(rules) > 1 else parameters(chosen)
    return {
        "recipe": name,
        "parameters": {**own, **(parameters(asked) if asked is not chosen else {})},
        "asked": describe(asked),
        "resolved": describe(chosen),
        "waterfall": waterfall.rows(),
    }
