"""What Python calls of the packages named `compiled`: functions that numba compiles once, kept as long as these stand."""

import hashlib
import importlib.resources
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from numba import njit


def entry(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` compiled, with a cache where numba keeps one: NUMBA_CACHE_DIR, beside its source, or in the user's cache folder.

    Only entries are cached, each with all that it calls: numba looks at the file of the function it loads, not at the files of
    those it calls, so the name under which it is kept tells the sources of its whole package.
    """
    package = function.__module__.rpartition(".")[0]
    function.__qualname__ += f"_{_digest(package)}"
    source = function.__code__.co_filename
    if not os.path.exists(
        source
    ):  # code in a zip, which Spark unpacks to another path every time: a cache there is found by nobody
        function.__code__ = function.__code__.replace(co_filename=_laid_out(package, os.path.basename(source)))
    try:
        compiled = njit(cache=True, nogil=True)(function)
        os.makedirs(str(compiled.stats.cache_path), exist_ok=True)
    except (RuntimeError, OSError):  # nowhere to keep it
        return njit(nogil=True)(function)
    return compiled


@cache
def _sources(package: str) -> dict[str, bytes]:
    files = importlib.resources.files(package).iterdir()
    return {file.name: file.read_bytes() for file in files if file.name.endswith(".py")}


@cache
def _digest(package: str) -> str:
    return hashlib.sha256(b"".join(content for _, content in sorted(_sources(package).items()))).hexdigest()[:16]


def _laid_out(package: str, name: str) -> str:
    """A copy of a source file in the user's cache folder, where numba then keeps its cache; the name alone where none can be."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = home / "webpairs" / f"{package.split('.')[-2]}-{_digest(package)}"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not (folder / name).exists():
            temporary = folder / f".{name}.{os.getpid()}"
            temporary.write_bytes(_sources(package)[name])
            temporary.replace(folder / name)
    except (OSError, RuntimeError):  # read-only, full, or no home
        return name
    return str(folder / name)
