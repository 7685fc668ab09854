"""bench/results/*.json → the figures in pipeline/plan/figures.toml: `python -m bench.plan_figures` writes them anew."""

import json
import re
import tomllib
from collections.abc import Mapping
from functools import cache
from typing import Any

from bench.places import REPOSITORY, RESULTS

FIGURES = REPOSITORY / "pipeline" / "plan" / "figures.toml"
_PICTURES = {
    "kind": "pictures",
    "image_size_px": "image_size_px",
    "stored_bytes": "stored_bytes",
    "megapixels": "stored_megapixels",
}


def quoted(text: str) -> dict[str, dict[str, Any]]:
    """Every figure that names a bench, by `stage.name`, in a figures.toml's text."""
    groups = {stage: figures for stage, figures in tomllib.loads(text).items() if isinstance(figures, dict)}
    every = {f"{stage}.{name}": figure for stage, figures in groups.items() for name, figure in figures.items()}
    return {name: figure for name, figure in every.items() if "bench" in figure}


def measured(figure: Mapping[str, Any]) -> float:
    """What stands in the bench's result where the figure says, in the figure's unit; four significant digits."""
    return float(f"{_found(_results(figure['bench']), figure) * figure.get('times', 1):.4g}")


def pictures() -> list[dict[str, Any]]:
    """The rows of plan.json about pictures as the plan has them."""
    return [{key: row[column] for key, column in _PICTURES.items()} for row in _results("plan")["measured"]]


@cache
def _results(name: str) -> dict[str, Any]:
    return dict(json.loads((RESULTS / f"{name}.json").read_text()))


def _found(results: dict[str, Any], figure: Mapping[str, Any]) -> float:
    if "rise" in figure:
        rise = figure["rise"]
        rows = _rows(results[rise["list"]], rise.get("where", {}))
        return float((rows[-1][rise["of"]] - rows[0][rise["of"]]) / (rows[-1][rise["per"]] - rows[0][rise["per"]]))
    if "row" in figure:
        (row,) = _rows(results["measured"], figure["row"])
        return float(row[figure["column"]])
    at: Any = results
    for key in figure["at"].split("."):
        at = at[key]
    return float(at)


def _rows(rows: list[dict[str, Any]], where: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [row for row in rows if where.items() <= row.items()]


def rewritten(text: str) -> str:
    """A figures.toml's text with the values that the benches' results have now."""
    for name, figure in quoted(text).items():
        head = re.escape(f"[{name}]\nvalue = ")
        text = re.sub(rf"({head})\S+", rf"\g<1>{measured(figure):.4g}", text)
    tables = [
        f'[[pictures]]\nkind = "{row["kind"]}"\nimage_size_px = {row["image_size_px"]}\n'
        f"stored_bytes = {row['stored_bytes']:.0f}\nmegapixels = {row['megapixels']:.4g}\n\n"
        for row in pictures()
    ]
    return re.sub(r"(?:\[\[pictures\]\]\n(?:\S.*\n)+\n)+", "".join(tables), text)


def main() -> None:
    """Write figures.toml."""
    FIGURES.write_text(rewritten(FIGURES.read_text()))
    print(FIGURES.relative_to(REPOSITORY))


if __name__ == "__main__":
    main()
