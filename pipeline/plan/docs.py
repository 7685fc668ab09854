"""The plans in docs/cluster.md, generated: `python -m pipeline.plan.docs` writes them between their markers.

A marker is a command line, `<!-- webpairs plan --pairs 1e9 --format markdown -->`, or `<!-- figures of webpairs plan -->`.
"""

import argparse
import re
import shlex
from pathlib import Path

from pipeline.options import add_options, from_arguments, with_dashes
from pipeline.plan import PlanConfig
from pipeline.plan.planning import every_figure, planned
from pipeline.plan.showing import as_table, shown

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cluster.md"
_BLOCK = re.compile(r"(<!-- (webpairs plan .*?|figures of webpairs plan) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def with_plans(text: str) -> str:
    """The page with what stands between its markers written anew."""
    return _BLOCK.sub(lambda block: f"{block[1]}\n{_told(block[2])}\n\n{block[4]}", text)


def _told(marker: str) -> str:
    if marker.startswith("figures"):
        return _figures()
    parser = argparse.ArgumentParser(prog="webpairs plan")
    add_options(parser, PlanConfig)
    config: PlanConfig = from_arguments(PlanConfig, parser.parse_args(with_dashes(shlex.split(marker)[2:])))
    return shown(planned(config), config.format)


def _figures() -> str:
    head = ("figure", "value", "unit", "of what", "from")
    told = [
        (
            one.name,
            f"{one.value:.4g}",
            one.unit,
            one.what,
            one.source.removeprefix("bench/results/") if one.measured else f"**not measured**: {one.source}",
        )
        for one in every_figure()
    ]
    return as_table([head, *told], "markdown", right=(1,))


if __name__ == "__main__":
    PAGE.write_text(with_plans(PAGE.read_text()))
    print(PAGE.name)
