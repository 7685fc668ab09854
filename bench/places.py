"""Where benchmarks find real data and keep what they make: inputs, peers' environments, outputs."""

import hashlib
import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
CACHE = REPOSITORY / "bench" / ".cache"  # outside git; may be removed at any time
RESULTS = REPOSITORY / "bench" / "results"


def shared(*names: str) -> Path:
    """A path below the folder of real data (WEBPAIRS_SHARED, else ../shared). Raises SystemExit where it is not there."""
    path = Path(os.environ.get("WEBPAIRS_SHARED", REPOSITORY.parent / "shared")).joinpath("data", *names)
    if not path.exists():
        raise SystemExit(f"{path}: no such file; set WEBPAIRS_SHARED to the folder that holds data/")
    return path


def digest_of(path: Path) -> str:
    """12 hex digits that change with the file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]
