r"""The Python packages of this virtual environment as one file for executors: `python -m jobs.environment dist/environment.pex`.

spark-submit --files dist/environment.pex --conf spark.pyspark.python=./environment.pex …

A PEX, because each machine unpacks it once and keeps it (~/.pex, or PEX_ROOT) where --archives unpacks for every executor of
every job, and because it starts with any CPython of its minor version on PATH: a packed virtual environment asks for one at the
same path, and the packer for these, venv-pack, had its last release in 2018. Our own code is in dist/webpairs.zip.
"""

import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory

from schemas.errors import UserError

# Spark itself brings pyspark, with 400 MB of jars; the others draw and look up on the machine where the results are read.
LEFT_OUT = ("pyspark", "matplotlib", "jinja2", "duckdb")
_EXTRAS = ("cpu", "gpu", "s3")  # what executors may need of them, where it is installed
_PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
_PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def requirements() -> list[str]:
    """What executors import, as pyproject.toml has it, and those extras of it that are installed here."""
    project = tomllib.loads(_PROJECT.read_text())["project"]
    extras = [line for extra in _EXTRAS for line in project["optional-dependencies"][extra] if _is_installed(_name(line))]
    return [line for line in [*project["dependencies"], *extras] if _name(line) not in LEFT_OUT]


def write_environment(path: Path) -> int:
    """Pack the environment of this interpreter with its exact versions, nothing downloaded; the size in bytes.

    Raises UserError where pex is not installed or cannot pack.
    """
    if not _is_installed("pex"):
        raise UserError("pex: not installed; run `pip install pex`")
    path.parent.mkdir(parents=True, exist_ok=True)
    left_out = [word for name in LEFT_OUT for word in ("--exclude", name)]
    # --venv: unpacked as one, so that the processes that a stage starts find it, too. It must heed PYTHONPATH: there Spark puts
    # pyspark. The interpreter that unpacks it is looked for on PATH.
    kind = ["--venv", "--non-hermetic-venv-scripts", "--inherit-path=prefer", "--python-shebang", f"/usr/bin/env {_PYTHON}"]
    command = [sys.executable, "-m", "pex", "--venv-repository", sys.prefix, *requirements(), *left_out, *kind, "-o", str(path)]
    with TemporaryDirectory(dir=path.parent) as scratch:  # all packages once more, 2 GB, which pex would leave in ~/.cache
        done = subprocess.run(  # noqa: S603
            command, env={**os.environ, "PEX_ROOT": scratch}, capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise UserError(f"{path}: pex could not pack {sys.prefix}: {done.stderr.strip()[-1000:]}")
    return path.stat().st_size


def _name(requirement: str) -> str:
    """pandas>=2.2 → pandas, as it is written in pyproject.toml."""
    return re.split(r"[^A-Za-z0-9_.-]", requirement, maxsplit=1)[0]


def _is_installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m jobs.environment FILE.pex")
    try:
        print(f"{sys.argv[1]}: {write_environment(Path(sys.argv[1])) / 1e6:.0f} MB")
    except UserError as error:
        sys.exit(str(error))
