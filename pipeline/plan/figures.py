"""figures.toml: what a row of each stage costs, by stage and name, each with where it comes from."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import pairwise
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure: its value and unit, what it is of, and its source; `measured` where a benchmark of ours gave it."""

    name: str
    value: float
    unit: str
    what: str
    source: str
    measured: bool


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A picture as `download` stores it, on average: bytes, and megapixels."""

    stored_bytes: float
    megapixels: float


@cache
def told() -> Mapping[str, Any]:
    """The file."""
    return tomllib.loads(resources.files("pipeline.plan").joinpath("figures.toml").read_text(encoding="utf-8"))


def figure(name: str) -> Figure:
    """The figure `stage.name`. Raises KeyError where there is none."""
    stage, key = name.split(".")
    found = told()[stage][key]
    source = f"bench/results/{found['bench']}.json" if "bench" in found else found["source"]
    return Figure(
        name=name, value=float(found["value"]), unit=found["unit"], what=found["what"], source=source, measured="bench" in found
    )


def value(name: str) -> float:
    """The figure's value."""
    return figure(name).value


def stored(kind: str, image_size_px: int) -> Stored:
    """A picture of that kind at that --image-size: between two sizes measured, in proportion to the area in between.

    Raises ValueError outside of the sizes measured.
    """
    rows = sorted((row for row in told()["pictures"] if row["kind"] == kind), key=lambda row: row["image_size_px"])
    for below, above in pairwise(rows):
        low, high = below["image_size_px"] ** 2, above["image_size_px"] ** 2
        if low <= image_size_px**2 <= high:
            part = (image_size_px**2 - low) / (high - low)
            bytes_, pixels = (below[key] + part * (above[key] - below[key]) for key in ("stored_bytes", "megapixels"))
            return Stored(stored_bytes=bytes_, megapixels=pixels)
    raise ValueError(f"{image_size_px} px: pictures of {kind} were measured from {rows[0]} to {rows[-1]}")
