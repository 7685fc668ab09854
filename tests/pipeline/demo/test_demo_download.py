import pyarrow.parquet as pq

from pipeline.demo.defects import KINDS
from pipeline.demo.server import ProxyServer
from pipeline.demo.site import Site
from pipeline.download import DownloadConfig
from pipeline.download import run as download
from pipeline.extract import ExtractConfig
from pipeline.extract import run as extract

# What pool takes out before download, so that nothing tells here whether it would come down.
NOT_DECIDED_HERE = {"blank_text", "very_long"}


def test_download_brings_exactly_the_pictures_that_the_truth_expects(small_web, kinds_by_uid, tmp_path):
    extract(ExtractConfig(wat=tuple(small_web.wats), out=f"{tmp_path}/candidates"))
    with Site(small_web.site) as site, ProxyServer(site.lookup) as server:
        config = DownloadConfig(
            pool=f"{tmp_path}/candidates", out=f"{tmp_path}/shards", proxy=server.proxy_url, image_size=32, retries=0
        )
        download(config)
    rows = pq.read_table(f"{tmp_path}/shards/00000.parquet", columns=["uid", "status", "error_message"]).to_pylist()
    assert len(rows) > 500
    for row in rows:
        kind = kinds_by_uid[row["uid"]]
        if kind not in NOT_DECIDED_HERE:
            assert (row["status"] == "success") == KINDS[kind].downloadable, (kind, row)
