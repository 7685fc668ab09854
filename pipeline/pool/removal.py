"""Removal lists: what people asked to have taken out, as URLs, domains, uids or hashes of URLs."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from pipeline import io
from pipeline.pool.addresses import host_of, normalise, public_host
from schemas.errors import UserError

_HEX = re.compile(r"[0-9A-Fa-f]+", re.ASCII)
_HASHES = {32: "md5", 40: "sha1", 64: "sha256"}  # by number of hex digits
_COMMENT = re.compile(r"(?:^|\s)#.*")
_LONGEST_SHOWN = 80


@dataclass(frozen=True, kw_only=True)
class Removal:
    """What is to go: normalised URLs, domains with all below them, uids or md5, sha1 and sha256 of URLs as they stand."""

    urls: set[str] = field(default_factory=set)
    domains: set[str] = field(default_factory=set)
    hashes: dict[str, set[str]] = field(default_factory=lambda: {name: set() for name in _HASHES.values()})
    digests: dict[str, str] = field(default_factory=dict)  # of the lists themselves: path → sha256

    def covers(self, uid: str, url: str) -> bool:
        """Whether a pair is to go; `url` must be valid."""
        if uid in self.hashes["md5"]:
            return True
        if self.domains and any(name in self.domains for name in _above(host_of(url) or "")):
            return True
        if self.urls and normalise(url) in self.urls:
            return True
        wanted = {name: digests for name, digests in self.hashes.items() if digests}
        return any(_digest(name, url) in digests for name, digests in wanted.items())

    @property
    def empty(self) -> bool:
        """Whether nothing is to go."""
        return not (self.urls or self.domains or any(self.hashes.values()))


def read_lists(paths: tuple[str, ...]) -> Removal:
    """The union of removal lists. Raises UserError naming the list and the line that is none of the four kinds."""
    removal = Removal()
    for path in paths:
        data = io.read_bytes(path)
        removal.digests[path] = hashlib.sha256(data).hexdigest()
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise UserError(f"{path}: not a text file in UTF-8 (byte {error.start}); save it as UTF-8") from error
        for number, entry in _entries(text):
            if not _add(removal, entry):
                raise UserError(f"{path}:{number}: {entry[:_LONGEST_SHOWN]!r} is no URL, domain, uid or hash; correct it")
    return removal


def _entries(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.split("\n"), 1):
        entry = _COMMENT.sub("", line).strip()
        if entry:
            yield number, entry


def _add(removal: Removal, entry: str) -> bool:
    if _HEX.fullmatch(entry) and len(entry) in _HASHES:
        removal.hashes[_HASHES[len(entry)]].add(entry.lower())
        return True
    if "://" in entry:
        url = normalise(entry)
        removal.urls.update({url} if url else ())
        return url is not None
    domain = public_host(entry.removeprefix("*").removeprefix("."))
    if domain is None or any(sign in entry for sign in "/@ "):
        return False
    removal.domains.add(domain)
    return True


def _digest(name: str, url: str) -> str:
    return hashlib.new(name, url.encode(), usedforsecurity=False).hexdigest()


def _above(host: str) -> Iterator[str]:
    """The host and every domain above it."""
    while host:
        yield host
        host = host.partition(".")[2]
