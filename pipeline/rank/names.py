"""How names, computes and p values are printed in ranking.md."""

import re
from collections.abc import Mapping
from typing import Any


def compute_text(compute: Mapping[str, Any]) -> str:
    """A compute as it is named in headings."""
    return f"{cell(compute['scale'])}, {cell(compute['model'])}, {compute['samples_seen']:,} samples seen"


def p_text(p: float | None) -> str:
    """A p value as it is printed: three digits, never `0.000`."""
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def cell(text: str) -> str:
    """A name inside a table: what Markdown or HTML would read as a mark is escaped, what a terminal would obey is not shown."""
    shown = "".join(character if character.isprintable() else "\ufffd" for character in " ".join(text.split()))
    return re.sub(r"([\\`*\[\]<>|&])", r"\\\1", shown)
