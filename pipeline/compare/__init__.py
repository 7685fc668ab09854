"""compare: subset files → how large each is, and what every two of them share."""

import json
from dataclasses import dataclass
from typing import Any

from pipeline import io
from pipeline.options import StageConfig, option
from schemas.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class CompareConfig(StageConfig):
    """What `webpairs compare` takes."""

    subsets: tuple[str, ...] = option("two subset files or more, .npy", metavar="FILE.npy", positional=True)
    json: bool = option("print JSON instead of tables", False)

    def __post_init__(self) -> None:
        """Raises UsageError for fewer than two files."""
        super().__post_init__()
        if len(self.subsets) < 2:
            raise UsageError("compare: give two subset files or more")


def run(config: CompareConfig, spark: Any = None) -> None:
    """Print the comparison. Raises UserError naming a file that is no subset."""
    from pipeline.compare.overlap import Sizes, comparison
    from pipeline.subset_file import read_subset

    del spark
    names = _names(config.subsets)
    found = comparison([Sizes.of(name, read_subset(path)) for name, path in zip(names, config.subsets, strict=True)])
    print(json.dumps(found, indent=1) if config.json else as_text(found))


def as_text(found: dict[str, Any]) -> str:
    """The comparison as tables for a terminal."""
    width = max(12, *(len(row["name"]) for row in found["subsets"]))
    lines = [f"{'subset':<{width}}{'rows':>14}{'distinct':>14}{'most repeats':>14}"]
    lines += [
        f"{row['name']:<{width}}{row['rows']:>14,}{row['distinct']:>14,}{row['most_repeats']:>14,}" for row in found["subsets"]
    ]
    lines += ["", f"{'a':<{width}}  {'b':<{width}}{'both':>14}{'only a':>14}{'only b':>14}{'of a':>8}{'of b':>8}{'Jaccard':>9}"]
    for row in found["pairs"]:
        a, b = row["both"] + row["only_a"], row["both"] + row["only_b"]
        shares = "".join(f"{100 * row['both'] / whole:>7.1f}%" if whole else f"{'–':>8}" for whole in (a, b))
        counts = f"{row['both']:>14,}{row['only_a']:>14,}{row['only_b']:>14,}"
        lines.append(f"{row['a']:<{width}}  {row['b']:<{width}}{counts}{shares}{row['jaccard']:>9.3f}")
    return "\n".join(lines)


def _names(paths: tuple[str, ...]) -> list[str]:
    """Stems, or whole paths where two have one; without what a hostile file name could tell a terminal."""
    stems = [io.stem(path) for path in paths]
    chosen = stems if len(set(stems)) == len(stems) else list(paths)
    return ["".join(sign if sign.isprintable() else "�" for sign in name) for name in chosen]


__all__ = ["CompareConfig", "run"]
