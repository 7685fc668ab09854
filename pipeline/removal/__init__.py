"""Removal lists: what people asked to have taken out, as URLs, domains, uids or hashes (of URLs, of images' bytes and looks).

In: text files of any size, one entry per line. Out: which pairs, and which downloaded bytes, are to go. The lists are compiled
once, on the driver; tasks map the compiled file into memory and look their rows up in it, a batch at a time. `compiled` makes
one table of them all and refuses perceptual hashes: before images are scored nothing is compared with these. `compiled_each`
takes them, too, and keeps the lists apart, so that each removal can be laid to its list.
"""

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.addresses import host_of, normalise
from pipeline.hosts import ascii_host
from pipeline.nearby import near
from pipeline.removal.compile import compile_lists
from pipeline.removal.keys import (
    HASHES,
    KEY_BYTES,
    PERCEPTUAL,
    digest,
    keys_of_bytes,
    keys_of_digests,
    keys_of_hex,
    keys_of_texts,
)
from pipeline.removal.table import Table, table_at

__all__ = ["REASONS", "Removal", "compiled", "compiled_each"]

# By what a pair is to go: the first of these that holds. `hash` is md5, sha1 or sha256 of its URL as it stands.
REASONS = ("uid", "url", "domain", "hash")
_UID = re.compile("[0-9A-Fa-f]{32}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Removal:
    """What is to go, as tasks know it: where the compiled lists are, "" for none; `digests` of the lists: path → sha256."""

    path: str = ""
    digests: dict[str, str] = field(default_factory=dict)

    @property
    def described(self) -> tuple[str, ...]:
        """The lists as a stage's config records them: path and sha256 of the content."""
        return tuple(f"{path} sha256:{digest}" for path, digest in self.digests.items())

    def require(self) -> None:
        """Raises UserError where the compiled lists cannot be had: before any input is blamed for it."""
        if self.path:
            self.table()

    def reasons(self, uids: Sequence[str], urls: Sequence[str]) -> Any:
        """(n,) int8: 0 where a pair may stay, else one more than the place of its reason in REASONS.

        `uids` that are not 32 hex digits, and `urls` that are not valid, are on no list by these.
        """
        found = np.zeros(len(uids), np.int8)
        if not self.path:
            return found
        table = self.table()
        for code, covered in enumerate((_by_uid, _by_url, _by_domain, _by_hash), 1):
            left = np.flatnonzero(found == 0)
            rows = left.tolist()
            found[left[covered(table, [uids[row] for row in rows], [urls[row] for row in rows])]] = code
        return found

    def reason_of_content(self, data: bytes) -> str | None:
        """The hash (md5, sha1, sha256) by which an image's bytes, as served, are to go; None where they may stay."""
        if not self.path:
            return None
        table = self.table()
        for name in HASHES.values():
            if table.has(name) and table.contains(name, keys_of_bytes([digest(name, data)[:KEY_BYTES]]))[0]:
                return name
        return None

    def pages(self, urls: Sequence[str]) -> Any:
        """(n,) bool: which of these addresses are listed, or below a listed domain."""
        return _by_url(self.table(), (), urls) | _by_domain(self.table(), (), urls)

    def hosts(self, hosts: Sequence[str]) -> Any:
        """(n,) bool: which of these hosts are listed, or below a listed domain."""
        return _by_host(self.table(), [ascii_host(host) or "" for host in hosts])

    def table(self) -> Table:
        """The compiled lists. Raises UserError where they cannot be had."""
        return table_at(near(self.path))


@contextmanager
def compiled(paths: Sequence[str]) -> Iterator[Removal]:
    """The union of removal lists, compiled to a local file that stands for the block.

    Raises UserError naming a list that is not there, or the list and the line that is no entry.
    """
    if not paths:
        yield Removal()
        return
    with tempfile.TemporaryDirectory(prefix="webpairs-") as folder:
        target = str(Path(folder) / "removal")
        digests = compile_lists(paths, target)
        yield Removal(path=target, digests=digests)


@contextmanager
def compiled_each(paths: Sequence[str]) -> Iterator[tuple[Removal, ...]]:
    """Removal lists, perceptual hashes among their entries or not, each compiled to a local file of its own for the block.

    Raises UserError as `compiled` does.
    """
    with tempfile.TemporaryDirectory(prefix="webpairs-") as folder:
        made = []
        for number, path in enumerate(paths):
            target = str(Path(folder) / f"removal{number}")
            digests = compile_lists([path], target, {**HASHES, **PERCEPTUAL})
            made.append(Removal(path=target, digests=digests))
        yield tuple(made)


def _by_uid(table: Table, uids: Sequence[str], _urls: Sequence[str]) -> Any:
    found = np.zeros(len(uids), bool)
    if table.has("md5"):
        rows = [row for row, uid in enumerate(uids) if _UID.fullmatch(uid)]  # foreign metadata may have others
        found[rows] = table.contains("md5", keys_of_hex(uids[row] for row in rows))
    return found


def _by_url(table: Table, _uids: Sequence[str], urls: Sequence[str]) -> Any:
    if not table.has("url"):
        return np.zeros(len(urls), bool)
    return table.contains("url", keys_of_texts(normalise(url) or "" for url in urls))


def _by_domain(table: Table, _uids: Sequence[str], urls: Sequence[str]) -> Any:
    return _by_host(table, [host_of(url) or "" for url in urls]) if table.has("domain") else np.zeros(len(urls), bool)


def _by_host(table: Table, hosts: Sequence[str]) -> Any:
    """Whether a host, or a domain above it, is listed; asked once per host."""
    if not table.has("domain"):
        return np.zeros(len(hosts), bool)
    names = [(host, name) for host in dict.fromkeys(hosts) for name in _above(host)]
    listed = table.contains("domain", keys_of_texts(name for _, name in names))
    covered = {host for (host, _), hit in zip(names, listed.tolist(), strict=True) if hit}
    return np.fromiter((host in covered for host in hosts), bool, len(hosts))


def _by_hash(table: Table, _uids: Sequence[str], urls: Sequence[str]) -> Any:
    found = np.zeros(len(urls), bool)
    for name in HASHES.values():
        if table.has(name):
            found |= table.contains(name, keys_of_digests(name, urls))
    return found


def _above(host: str) -> Iterator[str]:
    """The host and every domain above it."""
    while host:
        yield host
        host = host.partition(".")[2]
