"""A peer's own virtual environment, made once from PyPI: its packages never meet ours."""

import json
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from bench.places import CACHE

_VERSIONS = (
    "import json, sys; from importlib.metadata import version; print(json.dumps({name: version(name) for name in sys.argv[1:]}))"
)


def environment(name: str, *, alone: Sequence[str] = (), packages: Sequence[str] = (), linked: Sequence[str] = ()) -> Path:
    """The Python of an environment that holds `packages`, of `alone` these packages without what they ask for.

    `linked` are modules that the peer imports but does not use where it is measured: they stand in our environment, and
    are linked from there. Raises SystemExit where pip fails.
    """
    folder = CACHE / "peers" / f"{name}-py{sys.version_info[0]}{sys.version_info[1]}"
    python = folder / "bin" / "python"
    wanted = json.dumps([list(alone), list(packages), list(linked)])
    done = folder / "made_of.json"
    if done.is_file() and done.read_text() == wanted:
        return python
    print(f"making {folder}: {', '.join((*alone, *packages))}", flush=True)
    _run(sys.executable, "-m", "venv", "--clear", str(folder))
    if packages:
        _run(str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages)
    if alone:
        _run(str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", *alone)
    site = folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    for module in linked:
        (site / module).symlink_to(Path(sysconfig.get_path("purelib")) / module)
    done.write_text(wanted)
    return python


def versions_in(python: Path, *names: str) -> dict[str, str]:
    """Versions of distributions in that environment."""
    said = subprocess.run([str(python), "-c", _VERSIONS, *names], capture_output=True, text=True, check=True).stdout
    found: dict[str, str] = json.loads(said)
    return found


def _run(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed with status {done.returncode}:\n{done.stderr}")
