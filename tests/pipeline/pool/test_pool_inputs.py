"""Which files are candidates: those that extract's manifest lists, or whatever parquet a foreign folder shows."""

import gzip
import json

import pyarrow.parquet as pq
import pytest

from pipeline.extract import ExtractConfig
from pipeline.extract import run as extract
from pipeline.pool import PoolConfig, run
from pipeline.pool.inputs import candidate_files
from schemas.errors import UserError


@pytest.fixture
def extracted(tmp_path):
    """A folder of candidates that extract wrote from two WATs of one pair each."""
    for name in ("a", "b"):
        html = {"Links": [{"path": "IMG@/src", "url": f"https://i.example/{name}.jpg", "alt": "a cat"}]}
        envelope = {
            "Payload-Metadata": {"HTTP-Response-Metadata": {"HTML-Metadata": html}},
            "WARC-Header-Metadata": {"WARC-Target-URI": "https://page.example/"},
        }
        body = json.dumps({"Envelope": envelope}).encode()
        head = f"WARC/1.0\r\nWARC-Type: metadata\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        (tmp_path / f"{name}.wat.gz").write_bytes(gzip.compress(head + body + b"\r\n\r\n"))
    extract(ExtractConfig(out=str(tmp_path / "candidates"), wat=(str(tmp_path),)))
    return tmp_path / "candidates"


def test_a_part_that_extract_s_manifest_does_not_list_is_not_read(extracted, tmp_path, row, write):
    write(tmp_path / "old", [row(text="left by another version")])
    (tmp_path / "old" / "00000.parquet").rename(extracted / "a.parquet")
    files = candidate_files(str(extracted))
    assert len(files) == 2
    assert f"{extracted}/a.parquet" not in files
    assert sum(pq.read_metadata(path).num_rows for path in files) == 2


def test_left_over_parts_alone_are_no_candidates(extracted, tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.wat.gz").write_bytes(b"no WAT any more")
        (extracted / "_parts" / f"{next(extracted.glob(f'{name}-*')).stem}.json").unlink()
    extract(ExtractConfig(out=str(extracted), wat=(str(tmp_path),)))
    with pytest.raises(UserError, match=f"{extracted}: no candidates"):
        candidate_files(str(extracted))


def test_a_part_that_the_manifest_lists_and_is_not_there_is_named(extracted):
    lost = next(extracted.glob("b-*.parquet"))
    lost.unlink()
    with pytest.raises(UserError, match=rf"^{lost}: is not there.*run `extract` again"):
        candidate_files(str(extracted))


def test_candidates_that_extract_has_not_finished_are_refused(extracted, tmp_path):
    (extracted / "_manifest.json").unlink()
    with pytest.raises(UserError, match="`extract` has not finished"):
        run(PoolConfig(candidates=str(extracted), out=str(tmp_path / "pool")))


def test_a_manifest_that_is_none_is_named(extracted):
    (extracted / "_manifest.json").write_text('{"config_hash": "x"}')
    with pytest.raises(UserError, match=r"_manifest\.json: not a manifest"):
        candidate_files(str(extracted))


def test_of_a_foreign_folder_all_visible_parquet_is_read(tmp_path, row, write):
    folder = write(tmp_path / "foreign", [row()], [row(text="another")])
    (tmp_path / "foreign" / "_hidden.parquet").write_bytes(b"")
    (tmp_path / "foreign" / "_manifest.json").write_text("whatever another program says")
    assert candidate_files(folder) == [f"{folder}/00000.parquet", f"{folder}/00001.parquet"]
