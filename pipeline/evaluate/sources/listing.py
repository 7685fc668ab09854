"""What stands in a folder, local or on a URL, as evaluation sets are laid out: folders, files, small texts."""

import hashlib
from collections.abc import Collection, Iterable

from pipeline import io
from schemas.errors import UserError

# Which split a model is tested on, the first that is there; CLIP_benchmark and DataComp take `test`.
SPLITS = ("test", "val", "validation")


def folders_in(folder: str) -> list[str]:
    """Names of the visible folders in a folder, sorted."""
    fs, root = io.url_to_fs(folder)
    found = [entry["name"].rstrip("/") for entry in fs.ls(root, detail=True) if entry["type"] != "file"]
    names = (path.rsplit("/", 1)[-1] for path in found if fs.isdir(path))  # through links
    return sorted(name for name in names if not name.startswith((".", "_")))


def files_in(folder: str, suffixes: tuple[str, ...]) -> dict[str, int]:
    """Name → size in bytes of the visible files in a folder whose names end so, whatever their case; sorted by name."""
    fs, root = io.url_to_fs(folder)
    if not fs.isdir(root):
        return {}
    entries = {entry["name"].rsplit("/", 1)[-1]: entry for entry in fs.ls(root, detail=True) if entry["type"] != "directory"}
    names = sorted(name for name in entries if name.lower().endswith(suffixes) and not name.startswith((".", "_")))
    return {name: int(entries[name].get("size") or 0) for name in names}


def split_of(names: Collection[str]) -> str | None:
    """The split to test on, of a set's folders; None where none of them is one."""
    return next((split for split in SPLITS if split in names), None)


def split_in(folder: str) -> str:
    """The folder of the split to test on. Raises UserError where there is none."""
    names = folders_in(folder)
    split = split_of(names)
    if split is None:
        raise UserError(f"{folder}: no split to test on ({', '.join(SPLITS)}); it has: {', '.join(names) or 'no folders'}")
    return io.join(folder, split)


def lines_of(path: str) -> list[str] | None:
    """The lines of a text file, without white space at either end; None where there is no such file."""
    if not io.exists(path):
        return None
    try:
        return [line.strip() for line in io.read_bytes(path).decode().splitlines()]
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 ({error}); save it as such") from error


def fingerprint(sizes: Iterable[tuple[str, int]], texts: Iterable[str]) -> str:
    """16 hex digits of files' names and sizes and of what stands in small ones: whether a set has changed, without reading it."""
    total = hashlib.sha256(repr(list(sizes)).encode())
    for path in texts:
        total.update(hashlib.sha256(io.read_bytes(path) if io.exists(path) else b"").digest())
    return total.hexdigest()[:16]
