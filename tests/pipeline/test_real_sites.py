"""Archived real sites, from WAT to subset: their pages' real image URLs, answered from the archive by a server on loopback."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.demo.server import Lookup, ProxyServer, Response
from pipeline.download import DownloadConfig
from pipeline.download import run as download
from pipeline.extract import ExtractConfig
from pipeline.extract import run as extract
from pipeline.filter import FilterConfig
from pipeline.filter import run as filter_
from pipeline.pool import PoolConfig
from pipeline.pool import run as pool
from pipeline.score import ScoreConfig
from pipeline.score import run as score


def replay(warc: Path) -> Lookup:
    """Answers from the archive's responses, the first of each URL."""
    warcio = pytest.importorskip("warcio.archiveiterator")
    archive: dict[str, Response] = {}
    with warc.open("rb") as file:
        for record in warcio.ArchiveIterator(file):
            if record.rec_type == "response" and record.http_headers:
                kept = tuple((k, v) for k, v in record.http_headers.headers if k.lower() in {"content-type", "location"})
                answer = Response(
                    status=int(record.http_headers.get_statuscode()), headers=kept, body=record.content_stream().read()
                )
                archive.setdefault(record.rec_headers.get_header("WARC-Target-URI"), answer)
    return archive.get


@pytest.fixture(scope="module")
def random_checkpoint(tmp_path_factory) -> str:
    import torch

    from pipeline.clip import load_clip

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "random.pt"
    torch.save(load_clip("demo", None).model.state_dict(), path)
    return str(path)


def run_site(root: Path, wat: Path, warc: Path, spark, checkpoint: str) -> dict[str, dict[str, int]]:
    """extract → pool → download → score → filter under `root`; each stage's counts."""
    folder = {name: str(root / name) for name in ["1_candidates", "2_pool", "3_shards", "4_scores", "5_subsets"]}
    manifests = [
        extract(ExtractConfig(wat=(str(wat),), out=folder["1_candidates"])),
        pool(PoolConfig(candidates=folder["1_candidates"], out=folder["2_pool"], partitions=4), spark),
    ]
    with ProxyServer(replay(warc)) as server:
        shards = DownloadConfig(pool=folder["2_pool"], out=folder["3_shards"], proxy=server.proxy_url, samples_per_shard=500)
        manifests.append(download(shards))
    scores = ScoreConfig(shards=folder["3_shards"], out=folder["4_scores"], model="demo", pretrained=checkpoint)
    subset = FilterConfig(name="basic_filter", metadata_dir=folder["4_scores"], save_path=f"{folder['5_subsets']}/basic.npy")
    manifests += [score(scores), filter_(subset)]
    return {manifest.stage: manifest.counts for manifest in manifests}


def statuses(root: Path) -> dict[str, str]:
    """url → status over all sidecars."""
    sidecars = [pq.read_table(path, columns=["url", "status"]) for path in sorted((root / "3_shards").glob("*.parquet"))]
    return {row["url"]: row["status"] for table in sidecars for row in table.to_pylist()}


def test_illustrated_books_come_down_whole(tmp_path, shared_data, spark, random_checkpoint):
    web = shared_data / "web"
    counts = run_site(tmp_path, web / "books.warc.wat.gz", web / "books.warc.gz", spark, random_checkpoint)
    assert counts["extract"]["rows_out"] > 800
    assert set(statuses(tmp_path).values()) == {"success"}
    assert counts["score"]["rows_out"] == counts["pool"]["rows_out"]
    assert 0 < counts["filter"]["rows_out"] < counts["score"]["rows_out"]


def test_an_old_site_gives_what_its_archive_holds_and_names_the_rest(tmp_path, shared_data, spark, random_checkpoint):
    web = shared_data / "web"
    counts = run_site(tmp_path, web / "site2008.warc.wat.gz", web / "site2008.warc.gz", spark, random_checkpoint)
    lookup = replay(web / "site2008.warc.gz")
    found = statuses(tmp_path)
    held = {url for url in found if (answer := lookup(url)) and dict(answer.headers)["Content-Type"].startswith("image/")}
    assert {url for url, status in found.items() if status == "success"} == held
    assert counts["score"]["rows_out"] == counts["download"]["success"] > 0
    assert json.loads((tmp_path / "5_subsets/basic.json").read_text())["counts"] == counts["filter"]
