"""When two candidates are the same to the pool: by uid, URL or text. In: rows. Out: the key that is equal for those that are.

The rank by which rows are sampled and spread over parts is a hash of that key: so all copies meet in one part, and a sample is
a prefix of the whole, in each of the modes.
"""

import hashlib
import unicodedata
from collections.abc import Iterable
from typing import Literal

import pyarrow as pa

from pipeline.addresses import normalise

Dedup = Literal["uid", "url", "text"]
HASH_BITS = 63  # so that a rank fits Spark's signed 64-bit integer
KEY = pa.binary()  # of 16 bytes; Spark takes no fixed size


def same_text(text: str) -> str:
    """The form in which texts are compared: Unicode's compatibility caseless matching, white space collapsed.

    NFD, then twice case folding and NFKC (Unicode Standard, D146: `ﬁ` is `fi`, `Ａ` is `a`, `ß` is `ss`); then each run of white
    space is one space, and none is left at the ends. Punctuation, accents and invisible characters count.
    """
    if text.isascii():
        return " ".join(text.lower().split())
    form = unicodedata.normalize("NFD", text)
    for _ in range(2):
        form = unicodedata.normalize("NFKC", form.casefold())
    return " ".join(form.split())


def keys_of(dedup: Dedup, batch: pa.RecordBatch) -> list[str]:
    """Per row of CANDIDATES the key that its copies share: uid, normalised URL (a URL that is not valid: itself), or text."""
    if dedup == "url":
        return [normalise(url or "") or url or "" for url in batch["url"].to_pylist()]
    if dedup == "text":
        return [same_text(text or "") for text in batch["text"].to_pylist()]
    return list(batch["uid"].to_pylist())


def hashes_of(keys: Iterable[str], seed: int) -> list[bytes]:
    """16 bytes per key, other ones for another seed; no other row or machine matters."""
    salt = f"{seed}:"
    return [hashlib.md5(f"{salt}{key}".encode("utf-8", "surrogatepass"), usedforsecurity=False).digest() for key in keys]


def rank_of(hashed: bytes) -> int:
    """Place of a key in the order of its seed, 0 ≤ rank < 2^63, uniform."""
    return int.from_bytes(hashed[:8], "big") >> (64 - HASH_BITS)
