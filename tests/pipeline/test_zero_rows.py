"""A crawl of which nothing is left: every command on the way ends with 0 or with one clear line, never otherwise."""

import gzip
import json
import re

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.cli import main
from schemas.subsets import array_to_uids

PROGRESS = re.compile(r"[a-z]+: \d+/\d+ [a-z]+, \d+ s")
PAGE = "https://page.example/"
NO_IMAGE = {"path": "A@/href", "url": "/about"}
UNREACHABLE = {"path": "IMG@/src", "url": "http://127.0.0.1:1/a.jpg", "alt": "a red fox in the snow"}  # refused as private


def write_wat(path, link):
    """A WAT of one page with one link."""
    warc = {"WARC-Type": "response", "WARC-Date": "2024-05-18T01:58:10Z", "WARC-Target-URI": PAGE}
    response = {"Headers": {}, "HTML-Metadata": {"Head": {}, "Links": [link]}}
    payload = {"Actual-Content-Type": "application/http; msgtype=response", "HTTP-Response-Metadata": response}
    block = json.dumps({"Envelope": {"Payload-Metadata": payload, "WARC-Header-Metadata": warc}}).encode()
    head = f"WARC/1.0\r\nWARC-Type: metadata\r\nWARC-Target-URI: {PAGE}\r\nContent-Length: {len(block)}\r\n\r\n".encode()
    path.write_bytes(gzip.compress(head + block + b"\r\n\r\n", mtime=0))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """The demo model with random weights."""
    import torch

    from pipeline.clip import load_clip

    path = tmp_path_factory.mktemp("model") / "random.pt"
    torch.save(load_clip("demo", None).model.state_dict(), path)
    return path


@pytest.fixture
def chain(tmp_path, capfd, checkpoint, spark):
    """A function: a page's only link → per command its exit status and what it said on stderr."""
    del spark  # `pool` takes the session that stands

    def go(link):
        write_wat(tmp_path / "a.wat.gz", link)
        commands = [
            "extract --wat {root}/a.wat.gz --out {root}/1",
            "pool --candidates {root}/1 --out {root}/2 --partitions 1",
            "download --pool {root}/2 --out {root}/3 --retries 0",
            f"score --shards {{root}}/3 --out {{root}}/4 --model demo --pretrained {checkpoint} --device cpu",
            "filter --name basic_filter --metadata-dir {root}/4 --save-path {root}/5/basic.npy",
        ]
        told = {}
        for command in commands:
            capfd.readouterr()
            words = command.format(root=tmp_path).split()
            told[words[0]] = main(words), capfd.readouterr().err
        return told

    return go


def is_clear(status, said):
    """Nothing but 0, or 1 and one line; on a slow machine the progress of a stage may stand before it."""
    lines = [line for line in said.splitlines() if not PROGRESS.fullmatch(line)]
    return lines == [] if status == 0 else status == 1 and len(lines) == 1 and lines[0].startswith("webpairs: /")


def test_a_crawl_without_images_ends_every_command_clearly(chain, tmp_path):
    told = chain(NO_IMAGE)
    assert [name for name, (status, said) in told.items() if not is_clear(status, said)] == []
    assert [status for status, _ in told.values()] == [0, 0, 1, 1, 1]
    assert f"{tmp_path}/2: no parquet files: an empty pool" in told["download"][1]
    assert pq.read_table(tmp_path / "1").num_rows == 0


def test_a_crawl_whose_images_are_all_gone_ends_every_command_well_with_nothing(chain, tmp_path):
    told = chain(UNREACHABLE)
    assert [name for name, (status, said) in told.items() if not is_clear(status, said)] == []
    assert [status for status, _ in told.values()] == [0] * 5
    assert pq.read_table(tmp_path / "3" / "00000.parquet", columns=["status"]).to_pylist() == [{"status": "failed_to_download"}]
    assert pq.read_table(tmp_path / "4" / "00000.parquet").num_rows == 0
    assert array_to_uids(np.load(tmp_path / "5" / "basic.npy")) == []
