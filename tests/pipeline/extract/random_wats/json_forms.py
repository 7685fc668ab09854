"""Values → the JSON that an extractor might write, whole or broken."""

import json
import re
from random import Random
from typing import Any

# fmt: off
BREAKS = [
    b"", b'"', b",", b"}", b"]", b"{", b"[", b"\\", b":", b"\x00", b"\t", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf0\x9f\x98",
    b"\xc0\x80",
]
TOKENS = [
    b"NaN", b"-Infinity", b"007", b"1e999", b"1" * 400, b"9" * 5000, b"[" * 150 + b"]" * 150,
    b'{"a":' * 61 + b"1" + b"}" * 61, b"1234567890123456", b"0.1e5", b"[" * 100_000, b"tru", b"1.",
    b"-0", b'"\\x"', b'"\\u12"', b"'x'", b"", b"{}", b"null",
]
# fmt: on


class Pairs(list):
    """A JSON object as its pairs, so that a key may stand twice."""


def written(rng: Random, value: Any, *, odd: bool) -> bytes:
    """The value as JSON, as Common Crawl's extractor (org.json) writes it or, half of the time where `odd`, another writer."""
    if not odd or rng.random() < 0.5:
        return json_of(value, re.compile("[\x00-\x1f\x80-\x9f\u2000-\u20ff]|(?<=<)/"), ",", ":")
    escaped = rng.choice(["[^ -~]", "[\x00-\x1f]", "[^ -~]|/", "[\x00-\x08]", "[^a-zA-Z0-9@:_-]"])
    return json_of(
        value, re.compile(escaped), rng.choice([",", ", ", " ,\n "]), rng.choice([":", ": ", " :\t"]), upper=rng.random() < 0.5
    )


def json_of(value: Any, escaped: re.Pattern[str], comma: str, colon: str, *, upper: bool = False) -> bytes:
    """The value as JSON; what `escaped` matches in a string is written as an escape."""

    def escape(found: re.Match[str]) -> str:
        char = found[0]
        if char == "/":
            return "\\/"
        short = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}.get(char)
        units = char.encode("utf-16-be", "surrogatepass").hex()
        units = units.upper() if upper else units
        return short or "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))

    def text(value: Any) -> str:
        if isinstance(value, Pairs):
            return "{" + comma.join(text(key) + colon + text(item) for key, item in value) + "}"
        if isinstance(value, dict):
            return text(Pairs(value.items()))
        if isinstance(value, list):
            return "[" + comma.join(map(text, value)) + "]"
        if isinstance(value, str):
            # Escaped by code in one pass: quote and backslash first would be escaped twice.
            return (
                '"'
                + re.sub(f'(?P<must>["\\\\])|{escaped.pattern}', lambda m: f"\\{m[0]}" if m["must"] else escape(m), value)
                + '"'
            )
        return json.dumps(value)

    return text(value).encode("utf-8", "surrogatepass")


def broken(rng: Random, block: bytes) -> bytes:
    """The JSON, changed in one place: most often no JSON any more, sometimes another one."""
    at = rng.randint(0, len(block))
    end = min(len(block), at + rng.choice([0, 1, 1, 2, 30]))
    way = rng.choice(["bytes", "token", "comma", "cut", "around", "again"])
    if way == "bytes":
        return block[:at] + rng.choice(BREAKS) + block[end:]
    if way == "token":
        return replaced(rng, block, rb':\s*("[^"\\]*")', rng.choice(TOKENS), group=1)
    if way == "comma":
        return replaced(rng, block, rb"[]}]", b",", group=0, insert=True)
    if way == "cut":
        return block[:at]
    if way == "around":
        return rng.choice([b"\xef\xbb\xbf", b" \n", b"x", b""]) + block + rng.choice([b"", b" \r\n", b"x", b"{}", b"\x00", b","])
    return block[:end] + block[at:]


def replaced(rng: Random, block: bytes, pattern: bytes, new: bytes, *, group: int, insert: bool = False) -> bytes:
    """One match of the pattern, chosen at random, replaced by or put behind `new`."""
    places = [found.span(group) for found in re.finditer(pattern, block)]
    if not places:
        return block + new
    start, end = rng.choice(places)
    return block[:start] + new + block[start if insert else end :]


def objects_in(value: Any) -> list[Pairs]:
    """All objects in the value, the outer ones first."""
    level, objects = [value], []
    while level:
        objects += [item for item in level if isinstance(item, Pairs) and item]
        level = [
            inner
            for item in level
            if isinstance(item, list)
            for inner in ([pair[1] for pair in item] if isinstance(item, Pairs) else item)
            if isinstance(inner, list)
        ]
    return objects
