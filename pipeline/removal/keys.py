"""What stands on a removal list as keys of 128 bits. In: URLs, hosts, hashes in hex. Out: (n, 2) uint64, high and low half.

A md5 (or uid) is its own key; sha1 and sha256 are cut to their first 128 bits; URLs (normalised) and hosts are hashed. A
perceptual hash has 64 bits: it is the high half, the low one is 0.
"""

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np

# The kinds of entries that are hashes, by their number of hex digits. A uid is a md5, too: such an entry may mean either.
HASHES = {32: "md5", 40: "sha1", 64: "sha256"}
# Entries that only images can be compared with: 64-bit DCT perceptual hashes, by their number of hex digits.
PERCEPTUAL = {16: "phash"}
KINDS = ("url", "domain", *HASHES.values(), *PERCEPTUAL.values())
KEY_BYTES = 16

Keys = Any  # (n, 2) uint64


def keys_of_texts(texts: Iterable[str]) -> Keys:
    """Of normalised URLs or of hosts: 128 bits of BLAKE2b, for which no two texts with one hash are known."""
    return keys_of_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=KEY_BYTES).digest() for text in texts)


def keys_of_digests(name: str, texts: Iterable[str]) -> Keys:
    """Of texts as they stand, by md5, sha1 or sha256."""
    return keys_of_bytes(digest(name, text.encode("utf-8", "surrogatepass"))[:KEY_BYTES] for text in texts)


def keys_of_hex(digests: Iterable[str]) -> Keys:
    """Of digests in hex digits of either case."""
    return keys_of_bytes(bytes.fromhex(text[: 2 * KEY_BYTES].ljust(2 * KEY_BYTES, "0")) for text in digests)


def keys_of_bytes(digests: Iterable[bytes]) -> Keys:
    """Of digests that are cut to 16 bytes already."""
    return np.frombuffer(b"".join(digests), ">u8").astype(np.uint64).reshape(-1, 2)


def digest(name: str, data: bytes) -> bytes:
    """md5, sha1 or sha256 of data."""
    return hashlib.new(name, data, usedforsecurity=False).digest()
