"""The code as one zip for --py-files: `python -m jobs.package dist/webpairs.zip`. The same code gives the same bytes."""

import sys
import zipfile
from pathlib import Path

PACKAGES = ("schemas", "filters", "pipeline", "jobs")
RECIPES = "recipes"  # in the zip, as in a wheel, they stand in pipeline/
_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest a zip can say: the time of packing must not show


def write_zip(path: Path) -> int:
    """Write the four packages with their data files, and the recipes, to `path`; the number of files."""
    root = Path(__file__).resolve().parent.parent
    files = sorted(file for package in PACKAGES for file in (root / package).rglob("*") if _belongs(file))
    names = {file: file.relative_to(root).as_posix() for file in files}
    names |= {file: f"pipeline/{RECIPES}/{file.name}" for file in sorted((root / RECIPES).glob("*.toml"))}
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file, name in names.items():
            entry = zipfile.ZipInfo(name, _DATE)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED)
    return len(names)


def _belongs(file: Path) -> bool:
    return file.is_file() and "__pycache__" not in file.parts and not file.name.startswith(".")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m jobs.package FILE.zip")
    print(f"{sys.argv[1]}: {write_zip(Path(sys.argv[1]))} files")
