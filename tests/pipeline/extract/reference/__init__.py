"""The judge of extract: the bytes of a WAT → the rows and the counts that are right, read slowly and obviously.

Made from the contract (schemas/candidates.py, the standards named below) with json, urllib, zlib and hashlib; it shares no code
with the package, so that the two can only be wrong together where they were understood wrong together.
"""

import hashlib
from collections import Counter
from typing import Any

from .links import images_in
from .pages import crawl_in, crawl_in_fields, loaded, page_in
from .records import records_in
from .rights import SPOKEN_TO

REFUSING = ("noai", "noimageai", "noindex", "noimageindex", "none")


def extract(data: bytes, path: str, sources: set[str]) -> tuple[list[dict[str, Any]], Counter[str]]:
    """The rows of a WAT (columns of CANDIDATES in order, fetched_at in µs since epoch) and the counts by reason.

    `sources`: where images may stand besides <img>.
    """
    counts: Counter[str] = Counter()
    kept: dict[str, set[str]] = {}
    rows = []
    crawl = path.split("/")[1] if path.startswith("crawl-data/") else None
    for offset, kind, target, block in records_in(data, counts):
        record = None
        if kind == "metadata" and (sources or b"IMG@" in block or b"isPartOf" in block):
            try:
                record = loaded(block)
            except ValueError:
                counts["records_invalid_json"] += 1
        crawl = (crawl_in_fields(block) if kind == "warcinfo" else crawl_in(record)) or crawl
        page = page_in(record, target, counts, sources)
        if page is None:
            continue
        shared = {"page_url": page["url"], "crawl": crawl, "wat_path": path, "record_offset": offset, **page["says"]}
        for url, text, source in images_in(page, counts):
            uid = hashlib.md5((text + url).encode()).hexdigest()
            says = opposing(page["says"])
            if uid in kept and says <= kept[uid]:
                counts["dropped_duplicate_in_wat"] += 1
                continue
            kept[uid] = kept.get(uid, set()) | says
            rows.append({"uid": uid, "url": url, "text": text, **shared, "source": source})
    counts["rows_out"] = len(rows)
    return rows, counts


def opposing(says: dict[str, Any]) -> set[str]:
    """What of a page's words makes a later copy of a pair worth keeping: pool must see each way in which it is refused."""
    refusing = {f"{agent}:{word}" if agent else word for agent in ("", *SPOKEN_TO) for word in REFUSING}
    robots = set(says["robots"])
    return (robots & refusing) | ({"tdm_reserved"} if says["tdm_reserved"] else set())
