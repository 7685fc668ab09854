"""What is true of every image link of the demo's web: the kind of pair it is, whether it comes down, whether it is worth keeping.

Read by the demo's own account of its filters only; no stage sees it.
"""

import hashlib
from dataclasses import dataclass
from urllib.parse import urljoin

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.demo.defects import KINDS
from pipeline.demo.web import Link, Page, Web
from schemas.columns import column, required, table
from schemas.subsets import array_to_uids

TRUTH = table(
    "One image link of the demo's web.",
    [
        required("page_url", pa.string(), "page that holds the link"),
        column("url", pa.string(), "what src resolves to; null where that is nothing on the web"),
        column("text", pa.string(), "alt text; null where there is no alt attribute"),
        column("uid", pa.string(), "md5 of (text + url); null where the link is no candidate"),
        required("kind", pa.string(), "clean, or the defect"),
        required("opted_out", pa.bool_(), "the page reserves its content"),
        required("candidate", pa.bool_(), "extract should find it"),
        required("downloadable", pa.bool_(), "pool should keep it and download should bring an image"),
        required("is_good", pa.bool_(), "an ideal filter keeps it: true English text, a usable picture, no copy, not opted out"),
    ],
)


def truth_of(web: Web) -> pa.Table:
    """TRUTH of a web, one row per image link in crawl order."""
    return pa.Table.from_pylist([_row(page, link) for page in web.pages for link in page.links], schema=TRUTH)


def _row(page: Page, link: Link) -> dict[str, object]:
    kind = KINDS[link.kind]
    url = urljoin(page.base or page.url, link.src.strip()) if not link.kind.endswith("_src") else None
    uid = hashlib.md5(f"{link.alt}{url}".encode(), usedforsecurity=False).hexdigest() if kind.candidate else None
    return {
        "page_url": page.url,
        "url": url,
        "text": link.alt,
        "uid": uid,
        "kind": link.kind,
        "opted_out": page.opted_out,
        "candidate": kind.candidate,
        "downloadable": kind.downloadable and not page.opted_out,
        "is_good": kind.good and not page.opted_out,
    }


def write_truth(path: str, web: Web) -> None:
    """truth_of as parquet."""
    pq.write_table(truth_of(web), path)


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How well a subset agrees with the truth, over the pairs that were downloaded.

    precision: share of the kept that are good; recall: share of the good that are kept; both nan where there are none to share.
    """

    kept: int
    good: int
    kept_good: int

    @property
    def precision(self) -> float:
        """kept_good ÷ kept."""
        return self.kept_good / self.kept if self.kept else float("nan")

    @property
    def recall(self) -> float:
        """kept_good ÷ good."""
        return self.kept_good / self.good if self.good else float("nan")


def compare_subset(subset: str, truth: str, downloaded: list[str]) -> Agreement:
    """Agreement of a subset file (.npy of uids; repeats count once) with a truth file, among the uids that were downloaded."""
    return compare_uids(set(array_to_uids(np.load(subset))), good_uids(truth), set(downloaded))


def compare_uids(kept: set[str], good: set[str], downloaded: set[str]) -> Agreement:
    """Agreement of uids kept with uids that are good, among the downloaded."""
    kept, good = kept & downloaded, good & downloaded
    return Agreement(kept=len(kept), good=len(good), kept_good=len(kept & good))


def good_uids(truth: str) -> set[str]:
    """The uids that an ideal filter keeps: good wherever one of their links is."""
    rows = pq.read_table(truth, columns=["uid", "is_good"]).to_pylist()
    return {row["uid"] for row in rows if row["is_good"]}
