"""bench/results/*.json → the tables in bench/README.md: `python -m bench.readme` writes them between their markers."""

import json
import re
from pathlib import Path
from typing import Any

from bench.measure import cell, table
from bench.places import REPOSITORY, RESULTS

README = REPOSITORY / "bench" / "README.md"
_BLOCK = re.compile(r"(<!-- results of ([a-z_]+): .*? -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def with_results(text: str) -> str:
    """The README with every block of results written anew."""
    return _BLOCK.sub(lambda block: f"{block[1]}{results_of(block[2])}{block[4]}", text)


def results_of(name: str) -> str:
    """What stands between the markers of the benchmark `name`."""
    path = RESULTS / f"{name}.json"
    return _shown(json.loads(path.read_text())) if path.is_file() else "\nNot measured yet.\n\n"


def _shown(found: dict[str, Any]) -> str:
    machine, versions = found["machine"], found["versions"]
    figures = [{"key": f"`{key}`", "value": cell(found[key]), "what it is": meaning} for key, meaning in found["meaning"].items()]
    where = f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB, {machine['system']}"
    paragraphs = [
        f"`{found['command']}` on {found['date']}: {where}.",
        table(figures),
        table(found["measured"]),
        table([{name: text.replace("|", "/") for name, text in fault.items()} for fault in found.get("faults", [])]),
        "Versions: " + ", ".join(f"{name} {version}" for name, version in versions.items()) + ".",
    ]
    return "\n" + "\n\n".join(filter(None, paragraphs)) + "\n\n"


def main() -> None:
    """Write the README's tables."""
    README.write_text(with_results(README.read_text()))
    print(Path(README).relative_to(REPOSITORY))


if __name__ == "__main__":
    main()
