"""Removal lists as people write them: text, one URL, domain, uid or hash per line. In: a path. Out: keys by kind, as they come.

A list may have gigabytes: it is read in blocks, and lines that are nothing but a hash are read by numpy. Whoever reads one says
which hashes can be looked for: a perceptual hash where there are no images is refused, or it would be passed over in silence.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np

from pipeline import io
from pipeline.addresses import normalise, public_host, public_suffix
from pipeline.hosts import ascii_host
from pipeline.removal.keys import HASHES, KEY_BYTES, PERCEPTUAL, Keys, keys_of_hex, keys_of_texts
from schemas.errors import UserError

_BLOCK_BYTES = 1 << 22
_LONGEST_LINE_BYTES = 1 << 20
_LONGEST_SHOWN = 80
_HEX = re.compile(r"[0-9A-Fa-f]+", re.ASCII)
_COMMENT = re.compile(r"(?:^|\s)#.*", re.DOTALL)
_BOM = b"\xef\xbb\xbf"
_NO_DIGIT = 255
_NIBBLE = np.full(256, _NO_DIGIT, np.uint8)  # what each byte means as a hex digit
for _value, _digits in enumerate(zip(b"0123456789abcdef", b"0123456789ABCDEF", strict=True)):
    _NIBBLE[list(_digits)] = _value


def read_keys(path: str, seen: Callable[[bytes], object], hashes: Mapping[int, str] = HASHES) -> Iterator[tuple[str, Keys]]:
    """(kind, keys) of the entries of a list, a block at a time; `seen` is told all bytes as they are read.

    `hashes`: the kinds of hashes that can be looked for, by their number of hex digits.

    Raises UserError naming the list and the line that is none of the kinds, or that would remove all below a public suffix.
    """
    before = 0  # lines of the blocks so far
    for block in _blocks(path, seen):
        ends = np.flatnonzero(np.frombuffer(block, np.uint8) == ord("\n"))
        plain, rest = _hashes(block, ends, hashes)
        yield from plain
        yield from _others(path, _lines(block, ends, rest), before, hashes)
        before += len(ends)


def _blocks(path: str, seen: Callable[[bytes], object]) -> Iterator[bytes]:
    """The list in pieces that end with a line."""
    held, first = b"", True
    with io.open_read(path) as file:
        while data := file.read(_BLOCK_BYTES):
            seen(data)
            data, first = held + (data.removeprefix(_BOM) if first else data), False
            cut = data.rfind(b"\n") + 1
            held = data[cut:]
            if cut:
                yield data[:cut]
            if len(held) > _LONGEST_LINE_BYTES:
                raise UserError(
                    f"{path}: has a line of more than {_LONGEST_LINE_BYTES:,} bytes; one URL, domain or hash per line"
                )
    if held:
        yield held + b"\n"


def _hashes(block: bytes, ends: "np.ndarray", hashes: Mapping[int, str]) -> tuple[list[tuple[str, Keys]], "np.ndarray"]:
    """The lines that are a hash and nothing else, as keys by kind; and the numbers of the others."""
    data = np.frombuffer(block, np.uint8)
    starts = np.concatenate([[0], ends[:-1] + 1])
    sizes = ends - starts
    sizes -= (sizes > 0) & (data[ends - 1] == ord("\r"))
    other, found = sizes > 0, []
    for size, kind in hashes.items():
        rows = np.flatnonzero(sizes == size)
        if not len(rows):
            continue
        digits = _NIBBLE[np.lib.stride_tricks.sliding_window_view(data, size)[starts[rows]]]  # (rows, size)
        good = (digits != _NO_DIGIT).all(axis=1)
        other[rows[good]] = False
        half = digits[good, : 2 * KEY_BYTES]
        packed = np.zeros((len(half), KEY_BYTES), np.uint8)
        packed[:, : half.shape[1] // 2] = half[:, 0::2] << 4 | half[:, 1::2]
        found.append((kind, packed.view(">u8").astype(np.uint64)))
    return found, np.flatnonzero(other)


def _lines(block: bytes, ends: "np.ndarray", rows: "np.ndarray") -> Iterator[tuple[int, bytes]]:
    """The lines of those numbers, each with its number from 1."""
    for row in rows.tolist():
        yield row + 1, block[int(ends[row - 1]) + 1 if row else 0 : int(ends[row])]


def _others(path: str, lines: Iterable[tuple[int, bytes]], before: int, hashes: Mapping[int, str]) -> Iterator[tuple[str, Keys]]:
    """Lines, `before` others being ahead of them, read one by one."""
    hexes: dict[str, list[str]] = defaultdict(list)
    texts: dict[str, list[str]] = defaultdict(list)
    for number, line in lines:
        try:
            entry = _COMMENT.sub("", line.decode()).strip()
            if not entry:
                continue
            kind, value = _read(entry, hashes)
        except UnicodeDecodeError as error:
            raise UserError(f"{path}:{before + number}: not a text file in UTF-8; save it as UTF-8") from error
        except UserError as error:
            raise UserError(f"{path}:{before + number}: {entry[:_LONGEST_SHOWN]!r} {error}") from error
        (hexes if kind in hashes.values() else texts)[kind].append(value)
    yield from ((kind, keys_of_hex(values)) for kind, values in hexes.items())
    yield from ((kind, keys_of_texts(values)) for kind, values in texts.items())


def _read(entry: str, hashes: Mapping[int, str]) -> tuple[str, str]:
    """Kind and value of an entry. Raises UserError saying what is wrong with it."""
    if _HEX.fullmatch(entry):
        if len(entry) in hashes:
            return hashes[len(entry)], entry
        if len(entry) in PERCEPTUAL:
            raise UserError(
                "is a perceptual hash, which no image is compared with here; "
                "keep such entries in a list of their own, for `webpairs revise`"
            )
    if "://" in entry:
        url = normalise(entry)
        if url is None:
            raise UserError("is no valid http or https URL; correct it")
        return "url", url
    return "domain", _domain(entry)


def _domain(entry: str) -> str:
    """The host that an entry means with all below it: example.org, .example.org and *.example.org are one."""
    name = entry.removeprefix("*").removeprefix(".")
    host = None if any(sign in entry for sign in "/@ ") else ascii_host(name)
    section = public_suffix(host) if host else None
    if section == "icann":
        raise UserError(f"is a public suffix: it would remove every site below it; name the sites, as in example.{host}")
    if section == "private" and not entry.startswith("*."):
        raise UserError(
            f"holds the sites of many people (public suffix list); name the sites, or write *.{host} to mean them all"
        )
    if host is None or public_host(name) is None:
        raise UserError("is no URL, domain, uid or hash; correct it")
    return host
