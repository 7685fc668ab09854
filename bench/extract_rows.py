"""Whether ours and cc2dataset find the same rows in a WAT, after the differences that are meant.

cc2dataset's environment runs this file too (`python -m bench.extract_rows WAT FILE`): it writes cc2dataset's links, with the
raw attribute that each URL comes from.
"""

import hashlib
import json
import subprocess
import sys
from collections import Counter
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

from bench.places import REPOSITORY

Row = tuple[str, str, str]  # uid, url, text
_WEB = ("http://", "https://")


class Link(NamedTuple):
    """What cc2dataset took from a page: the URL it resolved, alt, raw src, and the URL that src is relative to."""

    url: str
    text: str
    src: str
    base: str


def comparison(wat: Path, python: Path) -> dict[str, Any]:
    """Counts of rows on either side, of each difference that is meant, and of rows that only one side has beyond those."""
    links, theirs = _links_of_cc2dataset(wat, python)
    expected, meant = _after_meant_differences(links)
    found = _rows_of_ours(wat)
    return {
        "cc2dataset_rows": theirs,
        "distinct_rows": len({(link.url, link.text) for link in links if link.url.startswith(_WEB)}),
        **meant,
        "expected_distinct_rows": len(expected),
        "our_distinct_rows": len(found),
        "only_ours": len(found - expected),
        "only_cc2dataset": len(expected - found),
    }


def _after_meant_differences(links: list[Link]) -> tuple[set[Row], dict[str, int]]:
    rows: set[Row] = set()
    meant: Counter[str] = Counter(blank_src=0, stripped_src=0, upper_case_scheme=0, invalid_host=0)
    for link in links:
        src, url = link.src.strip(), link.url
        if not src:
            meant["blank_src"] += url.startswith(_WEB)
            continue
        if src != link.src:
            meant["stripped_src"] += 1
            url = src if src.startswith(_WEB) else _joined(link.base, src)
        scheme, colon, rest = url.partition(":")
        if not url.startswith(_WEB) and url.lower().startswith(_WEB):
            meant["upper_case_scheme"] += 1
            url = scheme.lower() + colon + rest
        if not url.startswith(_WEB):
            continue
        if not urlsplit(url).hostname:
            meant["invalid_host"] += 1
            continue
        rows.add((hashlib.md5((link.text + url).encode()).hexdigest(), url, link.text))
    return rows, dict(meant)


def _joined(base: str, src: str) -> str:
    try:
        return urljoin(base, src)
    except ValueError:
        return src


def _rows_of_ours(wat: Path) -> set[Row]:
    from bench.extract_sides import reader_of_candidates

    found: set[Row] = set()
    for batch in reader_of_candidates()(str(wat)):
        found.update(zip(*(batch.column(name).to_pylist() for name in ("uid", "url", "text")), strict=True))
    return found


def _links_of_cc2dataset(wat: Path, python: Path) -> tuple[list[Link], int]:
    with TemporaryDirectory(dir=wat.parent) as folder:
        file = Path(folder, "links.json")
        subprocess.run([str(python), "-m", "bench.extract_rows", str(wat), str(file)], check=True, cwd=REPOSITORY)
        said = json.loads(file.read_text())
    return [Link(*link) for link in said["links"]], said["rows"]


def main() -> None:
    """Write cc2dataset's links, seen where it makes them absolute, and how many rows it made of them."""
    from cc2dataset import main as peer

    links: list[tuple[str, str, str, str]] = []
    make_links_absolute = peer.make_links_absolute

    def watched(found: list[dict[str, str]], base: str) -> list[dict[str, str]]:
        absolute: list[dict[str, str]] = make_links_absolute(found, base)
        links.extend((a["url"], a["alt"], link["url"], base) for a, link in zip(absolute, found, strict=True))
        return absolute

    peer.make_links_absolute = watched
    wat, file = map(Path, sys.argv[1:])
    rows = peer.extract_documents_from_wat(BytesIO(wat.read_bytes()), "image")
    file.write_text(json.dumps({"links": links, "rows": len(rows)}))


if __name__ == "__main__":
    main()
