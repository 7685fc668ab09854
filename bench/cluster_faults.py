"""Fault drills on a cluster: each fault is made to happen, and its outcome held beside an undisturbed run of the same stage.

`python -m bench.cluster_faults [FOLDER [WORD…]]`: only the drills whose description has all the words. Small disks need root.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench import cluster_faults_processes, cluster_faults_store
from bench.cluster_faults_bed import Bed, DrillError, bed

_MODULES = (cluster_faults_processes, cluster_faults_store)
FAILED = "FAILED: "


def run_all(folder: Path, words: Sequence[str] = (), network: Any = None) -> list[dict[str, str]]:
    """Every drill whose description has all `words`: {fault, outcome}; an outcome that must not be begins with FAILED."""
    with bed(folder, network) as made:
        return [
            _drilled(made, fault, getattr(module, name), arguments)
            for module in _MODULES
            for fault, name, arguments in module.drills()
            if all(word in fault for word in words)
        ]


def _drilled(made: Bed, fault: str, drill: Any, arguments: Sequence[str]) -> dict[str, str]:
    started = time.monotonic()
    try:
        made.prepare(arguments[0] if arguments else "extract")
        outcome = drill(made, *arguments)
    except (DrillError, OSError) as error:
        outcome = f"{FAILED}{error}"
    outcome = outcome.replace(f"{made.folder}/", "")
    print(f"  {fault}: {outcome}  ({time.monotonic() - started:.0f} s)", flush=True)
    return {"fault": fault, "outcome": outcome}


def table(outcomes: Sequence[dict[str, str]]) -> str:
    """The outcomes in Markdown."""
    lines = [f"| {outcome['fault']} | {outcome['outcome'].replace('|', '/')} |" for outcome in outcomes]
    return "\n".join(["| fault | what happened |", "|---|---|", *lines])


def main(arguments: Sequence[str]) -> int:
    """Run the drills; 1 where one failed."""
    with TemporaryDirectory(prefix="webpairs-faults-") as scratch:
        outcomes = run_all(Path(arguments[0] if arguments else scratch), arguments[1:])
    print(table(outcomes))
    return int(any(outcome["outcome"].startswith(FAILED) for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
