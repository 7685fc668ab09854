"""Config → parts: which WATs are read, and in which parts."""

import gzip
import hashlib
import zlib
from collections import Counter
from dataclasses import dataclass

from pipeline import io
from pipeline.extract.config import ExtractConfig
from pipeline.extract.naming import part_name, public_path
from pipeline.extract.remote import open_source
from pipeline.stage import Part
from schemas.errors import UserError

WAT_SUFFIXES = (".wat.gz", ".wat.zst", ".wat")


@dataclass(frozen=True, kw_only=True)
class WatPart(Part):
    """One WAT: `inputs` holds its public path, which is written down, `source` where it is read from."""

    source: str


def parts_of(config: ExtractConfig) -> list[WatPart]:
    """One part per WAT, in a fixed order. Raises UserError where a WAT or the crawl's listing is not there."""
    paths = io.expand(config.wat, WAT_SUFFIXES) if config.wat else _sampled(config)
    parts = [WatPart(name=part_name(path), inputs=(public_path(path),), source=path) for path in paths]
    name, times = max(Counter(part.name for part in parts).items(), key=lambda pair: pair[1], default=("", 0))
    if times > 1:
        public = next(part.inputs[0] for part in parts if part.name == name)
        raise UserError(
            f"{public}: stands for several WATs, which only the query or user in their URLs tells apart, and those are not "
            "written down, as they may be secrets; download the WATs and give the files"
        )
    return parts


def sample(paths: list[str], count: int, seed: int) -> list[str]:
    """`count` of `paths`, chosen by a hash of seed and path, in listing order: samples of one seed contain each other."""

    def draw(path: str) -> bytes:
        return hashlib.sha256(f"{seed}\n{path}".encode()).digest()

    chosen = set(sorted(paths, key=draw)[:count])
    return [path for path in paths if path in chosen]


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
