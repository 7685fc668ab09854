"""A shard set that img2dataset itself wrote, asked for nothing but URLs and captions, scores as it stands."""

import functools
import hashlib
import http.server
import importlib.util
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.score import ScoreConfig, run

pytestmark = pytest.mark.skipif(importlib.util.find_spec("img2dataset") is None, reason="needs the extra img2dataset")

COMMAND = """
import sys
from img2dataset import download

if __name__ == "__main__":
    download(
        url_list=sys.argv[1], output_folder=sys.argv[2], input_format="parquet", output_format="webdataset", url_col="url",
        caption_col="caption", processes_count=1, thread_count=4, number_sample_per_shard=6, image_size=64, retries=0,
        enable_wandb=False,
    )
"""


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing: the test's output is its own."""


@pytest.fixture
def site(tmp_path: Path, picture) -> Iterator[str]:
    """The address of a server on loopback that holds 0.jpg to 9.jpg, one of them broken."""
    folder = tmp_path / "site"
    folder.mkdir()
    for i in range(10):
        (folder / f"{i}.jpg").write_bytes(b"broken" if i == 4 else picture(i, size=(100, 80)))
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_shards_of_img2dataset_score_as_they_stand(site: str, tiny, tmp_path: Path):
    urls = [f"{site}/{i}.jpg" for i in range(12)]  # the last two are not there
    captions = [f"picture number {i}" for i in range(12)]
    pq.write_table(pa.table({"url": urls, "caption": captions}), tmp_path / "urls.parquet")
    script = tmp_path / "fetch.py"
    script.write_text(COMMAND)
    words = [sys.executable, str(script), str(tmp_path / "urls.parquet"), str(tmp_path / "shards")]
    subprocess.run(words, check=True, capture_output=True, timeout=120)
    out = tmp_path / "scores"
    manifest = run(
        ScoreConfig(shards=str(tmp_path / "shards"), out=str(out), model=tiny.name, pretrained=tiny.checkpoint, device="cpu")
    )
    assert manifest.counts == {"rows_in": 9, "rows_out": 9}
    rows = [row for path in sorted(out.glob("0*.parquet")) for row in pq.read_table(path).to_pylist()]
    good = [i for i in range(10) if i != 4]
    assert sorted((row["url"], row["text"]) for row in rows) == sorted((urls[i], captions[i]) for i in good)
    assert all(row["uid"] == hashlib.md5((row["text"] + row["url"]).encode()).hexdigest() for row in rows)
    assert all((row["original_width"], row["width"]) == (100, 64) for row in rows)
    assert json.loads((out / "_manifest.json").read_text())["inputs"][0]["status"] == "ok"
