import hashlib
import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from html.parser import HTMLParser
from urllib.parse import urljoin

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline.demo import html
from pipeline.demo.site import Site, canonical, write_site
from pipeline.demo.truth import TRUTH, compare_subset, good_uids
from pipeline.demo.wat import write_wats
from pipeline.demo.web import Link, plan_web
from schemas.subsets import uids_to_array


class Images(HTMLParser):
    """The img tags of a page."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page.decode())

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.found.append(dict(attrs))


def test_a_plan_is_the_same_for_the_same_seed():
    assert plan_web(300, seed=1) == plan_web(300, seed=1)
    assert plan_web(300, seed=1) != plan_web(300, seed=2)


def test_every_pair_stands_on_a_page_once(small_web):
    assert sorted(link.pair for page in small_web.web.pages for link in page.links) == list(range(600))


def test_a_page_shows_every_link_as_planned(small_web):
    for page in small_web.web.pages:
        found = Images(html.render(page)).found
        assert [(tag["src"], tag.get("alt")) for tag in found] == [(link.src, link.alt) for link in page.links]


def test_captions_and_addresses_cannot_break_out_of_the_page(small_web):
    nasty = "\"><script>alert(1)</script>&amp;'<!--"
    link = Link(pair=0, kind="clean", src=f"http://a.example/{nasty}", alt=nasty, url="http://a.example/")
    page = replace(small_web.web.pages[0], title=nasty, base=nasty, licence=nasty, robots_meta=nasty, links=(link,) * 6)
    rendered = html.render(page)
    assert b"<script>alert" not in rendered
    assert b"<!--" not in rendered
    assert [tag["alt"] for tag in Images(rendered).found] == [nasty] * 6


def test_links_are_written_in_many_ways(small_web):
    written = [link.src for page in small_web.web.pages for link in page.links]
    for start in ("http://", "HTTP://", "//", "/", "../", " http://", "data:", "javascript:"):
        assert any(src.startswith(start) for src in written), start
    assert "" in written
    assert any(page.base for page in small_web.web.pages)


def test_every_link_to_the_web_resolves_to_a_stored_resource(small_web):
    with Site(small_web.site) as site:
        for page in small_web.web.pages:
            assert site.lookup(page.url) is not None
            for link in page.links:
                if not link.kind.endswith("_src"):
                    assert site.lookup(urljoin(page.base or page.url, link.src.strip())) is not None


def test_a_site_is_written_byte_for_byte_the_same(tmp_path):
    web = plan_web(60, seed=3)
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(2) as two:
        write_site(f"{tmp_path}/a", web, one)
        write_site(f"{tmp_path}/b", web, two)
    write_wats(f"{tmp_path}/a", web, files=2)
    write_wats(f"{tmp_path}/b", web, files=2)
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert len(names) == 19
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


STATUS = {"not_found": 404, "server_error": 500, "redirected": 301, "redirect_to_missing": 302}


def test_a_url_answers_as_its_kind_says(small_web):
    seen = set()
    with Site(small_web.site) as site:
        for link in (link for page in small_web.web.pages for link in page.links if not link.kind.endswith("_src")):
            response = site.lookup(link.url)
            headers = dict(response.headers)
            assert response.status == STATUS.get(link.kind, 200), link.kind
            assert response.dropped == (link.kind == "dropped")
            assert ("X-Robots-Tag" in headers) == (link.kind == "noai_image")
            if link.kind in ("clean", "mismatched", "noai_image") and link.kind not in seen:
                Image.open(io.BytesIO(response.body)).load()
            if link.kind in ("corrupt", "truncated", "html_instead"):
                with pytest.raises(OSError, match=r"identify|truncated|broken|Truncated"):
                    Image.open(io.BytesIO(response.body)).load()
            if link.kind == "redirected":
                assert site.lookup(headers["Location"]).status == 200
            if link.kind == "redirect_to_missing":
                assert site.lookup(headers["Location"]).status == 404
            seen.add(link.kind)
    assert seen >= set(STATUS) | {"corrupt", "truncated", "html_instead", "noai_image", "dropped"}


def test_scheme_and_host_are_looked_up_without_case():
    assert canonical("HTTP://A.Example:80/X%20y?q=1#f") == "http://a.example/X%20y?q=1"
    assert canonical("http://a.example/é") == "http://a.example/%C3%A9"


def test_the_truth_has_a_row_per_link_and_the_uid_of_its_text_and_url(small_web):
    table = pq.read_table(small_web.truth)
    assert table.schema.equals(TRUTH)
    assert table.num_rows == 600
    for row in table.to_pylist():
        assert (row["uid"] is not None) == row["candidate"]
        if row["candidate"]:
            assert row["uid"] == hashlib.md5((row["text"] + row["url"]).encode()).hexdigest()
        if row["is_good"]:
            assert row["downloadable"]
            assert not row["opted_out"]


def test_an_exact_copy_has_the_uid_of_its_original(small_web, kinds_by_uid):
    rows = pq.read_table(small_web.truth).to_pylist()
    clean = {row["uid"]: row for row in rows if row["kind"] == "clean"}
    copies = [row for row in rows if row["kind"] == "duplicate_exact"]
    assert copies
    for row in copies:
        assert clean[row["uid"]]["is_good"]
        assert kinds_by_uid[row["uid"]] == "clean"


def test_precision_and_recall_are_among_the_downloaded(small_web, tmp_path):
    rows = pq.read_table(small_web.truth).to_pylist()
    good = sorted(good_uids(small_web.truth))
    bad = sorted({row["uid"] for row in rows if row["kind"] == "mismatched"})
    path = f"{tmp_path}/subset.npy"
    np.save(path, uids_to_array(good[:30] + good[:1] + bad[:10]))
    agreement = compare_subset(path, small_web.truth, downloaded=good[10:60] + bad)
    assert (agreement.kept, agreement.good, agreement.kept_good) == (30, 50, 20)
    assert agreement.precision == pytest.approx(20 / 30)
    assert agreement.recall == pytest.approx(0.4)


def test_an_empty_subset_has_no_precision(small_web, tmp_path):
    np.save(f"{tmp_path}/none.npy", uids_to_array([]))
    agreement = compare_subset(f"{tmp_path}/none.npy", small_web.truth, sorted(good_uids(small_web.truth)))
    assert np.isnan(agreement.precision)
    assert agreement.recall == 0
