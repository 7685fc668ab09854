"""Figures → bench/results/NAME.json and the one JSON line that a benchmark ends with."""

import json
import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from bench.places import RESULTS


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure that others may rely on: its key in the JSON, and in words what it is, with unit and direction."""

    key: str
    value: float | int | bool
    meaning: str


def result(name: str, figures: Sequence[Figure], measured: Sequence[Mapping[str, Any]], **more: Any) -> dict[str, Any]:
    """The result of the benchmark `name`: the figures by key, what was measured row by row, and where, when and with what."""
    return {
        "bench": name,
        **{figure.key: _rounded(figure.value) for figure in figures},
        "meaning": {figure.key: figure.meaning for figure in figures},
        "measured": _rounded(list(measured)),
        **_rounded(more),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "command": command(),
    }


def finish(found: Mapping[str, Any], *, whole: bool) -> None:
    """Write `found` to bench/results where the run was `whole`, and print it as one line."""
    if whole:
        RESULTS.mkdir(parents=True, exist_ok=True)
        fresh = RESULTS / f"{found['bench']}.json.new"
        fresh.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
        fresh.replace(RESULTS / f"{found['bench']}.json")
    else:
        print("not all of it was measured: bench/results stays as it is")
    print(json.dumps(found, ensure_ascii=False))


def command() -> str:
    """How this run was called."""
    main = sys.modules["__main__"].__spec__
    words = ["-m", main.name] if main is not None else [sys.argv[0]]
    return shlex.join(["python", *words, *sys.argv[1:]])


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    model = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": model[1] if model else os.uname().machine,
        "cores": os.cpu_count(),
        "memory_gb": round(pages / 1e9),
        "system": f"{os.uname().sysname} {os.uname().release.split('-')[0]}",
    }


def versions(*names: str) -> dict[str, str]:
    """Versions of Python and of the named distributions, those that are installed."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _rounded(value: Any) -> Any:
    """Numbers with four significant digits: more would be noise."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list | tuple) else value
