"""Config → parts: which WATs are read, and what each part is called. Names from outside become safe file names here."""

import gzip
import hashlib
import re
import zlib
from collections import Counter

from pipeline import io
from pipeline.extract.config import ExtractConfig
from pipeline.extract.remote import open_source
from pipeline.stage import Part
from schemas.errors import UserError

WAT_SUFFIXES = (".wat.gz", ".wat.zst", ".wat")
_ENDING = re.compile(r"(\.(warc|arc))?(\.wat)?(\.(gz|zst))?$", re.IGNORECASE)
_MAX_NAME_CHARS = 120


def parts_of(config: ExtractConfig) -> list[Part]:
    """One part per WAT, in a fixed order. Raises UserError where a WAT or the crawl's listing is not there."""
    paths = io.expand(config.wat, WAT_SUFFIXES) if config.wat else _sampled(config)
    names = part_names(paths)
    return [Part(name=name, inputs=(path,)) for name, path in zip(names, paths, strict=True)]


def part_names(paths: list[str]) -> list[str]:
    """A safe file name without suffix for each WAT path; WATs of the same name get a hash of their path as suffix."""
    plain = [_safe_name(path) for path in paths]
    repeats = Counter(name.lower() for name in plain)  # some file systems ignore case
    digests = [hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:8] for path in paths]
    return [f"{name}-{digest}" if repeats[name.lower()] > 1 else name for name, digest in zip(plain, digests, strict=True)]


def sample(paths: list[str], count: int, seed: int) -> list[str]:
    """`count` of `paths`, chosen by a hash of seed and path, in listing order: samples of one seed contain each other."""

    def draw(path: str) -> bytes:
        return hashlib.sha256(f"{seed}\n{path}".encode()).digest()

    chosen = set(sorted(paths, key=draw)[:count])
    return [path for path in paths if path in chosen]


def _safe_name(path: str) -> str:
    file_name = path.split("?", maxsplit=1)[0].rstrip("/").rsplit("/", 1)[-1]
    kept = re.sub(r"[^A-Za-z0-9._-]+", "_", _ENDING.sub("", file_name))
    # What begins with _ or . is hidden from the readers of a folder.
    return kept.lstrip("._-")[:_MAX_NAME_CHARS] or "wat"


def _sampled(config: ExtractConfig) -> list[str]:
    listing = io.join(config.base_url, "crawl-data", config.crawl or "", "wat.paths.gz")
    paths = _read_listing(listing)
    count = len(paths) if config.wats is None else config.wats
    if count > len(paths):
        raise UserError(f"{listing}: lists {len(paths)} WATs, --wats asks for {count}; ask for at most {len(paths)}")
    return [io.join(config.base_url, path) for path in sample(paths, count, config.seed)]


def _read_listing(listing: str) -> list[str]:
    with open_source(listing) as file:
        raw = file.read()
    try:
        lines = gzip.decompress(raw).decode().split()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise UserError(f"{listing}: not a gzipped list of paths ({error}); check --crawl and --base-url") from error
    paths = list(dict.fromkeys(lines))
    unsafe = next((path for path in paths if "://" in path or path.startswith("/") or ".." in path.split("/")), None)
    if unsafe is not None:
        raise UserError(f"{listing}: lists {unsafe!r}, which is not a relative path below the base URL")
    if not paths:
        raise UserError(f"{listing}: lists no WATs; check --crawl")
    return paths
