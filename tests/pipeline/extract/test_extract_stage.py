"""extract as a stage: parts and their names, resume, damaged and missing inputs, the crawl's sample."""

import gzip
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.cli import main
from pipeline.extract import ExtractConfig, run
from pipeline.extract.inputs import sample
from pipeline.extract.naming import part_name
from schemas.candidates import CANDIDATES
from schemas.errors import UsageError, UserError


@pytest.fixture
def wats(make, tmp_path):
    """A folder of three WATs of one page each."""
    folder = tmp_path / "wats"
    folder.mkdir()
    for n in range(3):
        record = make.record(make.page([make.image(f"{n}.jpg")], url=f"https://p{n}.example/"))
        (folder / f"seg-{n}.warc.wat.gz").write_bytes(make.member(record))
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(Path(folder).glob("*.parquet"))}


def test_each_wat_becomes_one_parquet_file_of_the_schema(wats, tmp_path):
    out = tmp_path / "out"
    manifest = run(ExtractConfig(out=str(out), wat=(str(wats),)))
    assert manifest.parts == tuple(part_name(str(wat)) for wat in sorted(wats.iterdir()))
    assert sorted(contents(out)) == [f"{name}.parquet" for name in manifest.parts]
    first = out / f"{manifest.parts[0]}.parquet"
    assert pq.read_schema(first).equals(CANDIDATES)
    assert pq.ParquetFile(first).metadata.row_group(0).column(0).compression == "ZSTD"
    assert manifest.counts["rows_out"] == 3
    assert all(report.bytes_read == (wats / Path(report.path).name).stat().st_size for report in manifest.inputs)


def test_a_wat_without_images_gives_an_empty_table(make, extracted_page):
    result = extracted_page([{"path": "A@/href", "url": "/"}])
    assert result.rows == []
    assert result.report.status == "ok"


def test_a_file_a_glob_and_a_folder_name_the_same_wats(wats, tmp_path):
    for n, named in enumerate([(str(wats),), (f"{wats}/*.wat.gz",), tuple(str(p) for p in sorted(wats.iterdir()))]):
        run(ExtractConfig(out=str(tmp_path / f"out{n}"), wat=named))
    assert contents(tmp_path / "out0") == contents(tmp_path / "out1") == contents(tmp_path / "out2")


def test_a_rerun_does_only_what_is_missing_and_ends_with_the_same_bytes(wats, tmp_path):
    config = ExtractConfig(out=str(tmp_path / "out"), wat=(str(wats),))
    first, second, _ = (tmp_path / "out" / f"{name}.parquet" for name in run(config).parts)
    before = contents(config.out)
    second.unlink()
    kept = first.stat().st_mtime_ns
    manifest = run(config)
    assert manifest.parts_resumed == 2
    assert contents(config.out) == before
    assert first.stat().st_mtime_ns == kept


def test_worker_processes_write_the_same_bytes(wats, tmp_path):
    for workers in (1, 2):
        run(ExtractConfig(out=str(tmp_path / f"out{workers}"), wat=(str(wats),), workers=workers))
    assert contents(tmp_path / "out1") == contents(tmp_path / "out2")


def test_a_damaged_wat_is_partial_and_an_unreadable_one_failed_and_the_others_whole(make, wats, tmp_path):
    records = [make.member(make.record(make.page([make.image(f"x{n}.jpg", f"alt {n}" * 9)]))) for n in range(3)]
    hurt = bytearray(records[1])
    hurt[len(hurt) // 2] ^= 0xFF
    (wats / "a-damaged.wat.gz").write_bytes(records[0] + bytes(hurt) + records[2])
    (wats / "b-cut.wat.gz").write_bytes(records[0] + records[1][:-20])
    (wats / "c-html.wat.gz").write_bytes(b"<html>503</html>")
    (wats / "d-empty.wat.gz").write_bytes(b"")
    (wats / "e-gzip.wat.gz").write_bytes(gzip.compress(b"no records here"))
    (wats / "f-cut.wat.gz").write_bytes(records[0][:40])
    manifest = run(ExtractConfig(out=str(tmp_path / "out"), wat=(str(wats),)))
    said = {Path(r.path).name: (r.status, r.rows, r.error) for r in manifest.inputs}
    assert said["a-damaged.wat.gz"] == ("partial", 2, "damaged places, skipped: 1")
    assert said["b-cut.wat.gz"] == ("partial", 1, "truncated: the file ends inside a gzip member")
    assert [said[f"{name}.wat.gz"][0] for name in ("c-html", "d-empty", "e-gzip", "f-cut")] == ["failed"] * 4
    assert "not a WAT" in said["c-html.wat.gz"][2]
    assert "empty" in said["d-empty.wat.gz"][2]
    assert "no WARC record" in said["e-gzip.wat.gz"][2]
    assert [said[f"seg-{n}.warc.wat.gz"][0] for n in range(3)] == ["ok"] * 3
    assert manifest.counts["damaged_members"] == 1
    assert manifest.counts["truncated_files"] == 1


def test_one_record_of_a_gigabyte_of_nothing_is_left_out_in_bounded_memory(make, tmp_path):
    head = b"WARC/1.0\r\nWARC-Type: metadata\r\nContent-Length: 1073741824\r\n\r\n"
    bomb = tmp_path / "bomb.wat.gz"
    good = make.member(make.record(make.page([make.image("a.jpg")])))
    with gzip.open(bomb, "wb", compresslevel=1) as file:
        file.write(head)
        for _ in range(256):
            file.write(b"\0" * (1 << 20))
    bomb.write_bytes(bomb.read_bytes() + good)
    code = (
        "import resource, sys; from pipeline.extract import ExtractConfig, run\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "m = run(ExtractConfig(out=sys.argv[2], wat=(sys.argv[1],)))\n"
        "print(m.counts['rows_out'], (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(bomb), str(tmp_path / "out")], capture_output=True, text=True, timeout=100, check=True
    )
    rows, grown_mib = done.stdout.split()
    assert rows == "1"
    assert int(grown_mib) < 220


def test_a_file_name_that_is_no_utf8_costs_nothing(wats, tmp_path):
    odd = os.fsencode(wats) + b"/\xff\n<b>.wat.gz"
    os.rename(wats / "seg-0.warc.wat.gz", odd)
    run(ExtractConfig(out=str(tmp_path / "out"), wat=(os.fsdecode(odd),)))
    (part,) = (tmp_path / "out").glob("b_-*.parquet")
    (row,) = pq.read_table(part).to_pylist()
    assert row["wat_path"].endswith("/\\udcff\n<b>.wat.gz")


def test_a_sample_is_without_replacement_seeded_and_nested():
    paths = [f"crawl-data/X/wat/{n:05d}.wat.gz" for n in range(500)]
    small, large = sample(paths, 20, seed=7), sample(paths, 100, seed=7)
    assert len(set(small)) == 20
    assert set(small) < set(large)
    assert sample(paths, 20, seed=8) != small
    assert small == sorted(small)


def listing_of(root, lines):
    folder = root / "crawl-data" / "CC-TEST-1"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "wat.paths.gz").write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode()))


@pytest.fixture
def crawl(wats, tmp_path):
    """A mirror of a crawl with three WATs; its root."""
    root = tmp_path / "mirror"
    listing_of(root, [f"crawl-data/CC-TEST-1/wat/seg-{n}.warc.wat.gz" for n in range(3)])
    wats.rename(root / "crawl-data" / "CC-TEST-1" / "wat")
    return root


def test_wats_are_drawn_from_a_crawl_s_listing(crawl, tmp_path):
    config = ExtractConfig(out=str(tmp_path / "out"), crawl="CC-TEST-1", wats=2, seed=3, base_url=str(crawl))
    manifest = run(config)
    assert len(manifest.parts) == 2
    rows = pq.read_table(tmp_path / "out" / f"{manifest.parts[0]}.parquet").to_pylist()
    assert rows[0]["crawl"] == "CC-TEST-1"
    assert rows[0]["wat_path"] == f"crawl-data/CC-TEST-1/wat/{manifest.parts[0].rpartition('-')[0]}.warc.wat.gz"


def test_a_crawl_without_a_number_is_read_whole(crawl, tmp_path):
    assert len(run(ExtractConfig(out=str(tmp_path / "out"), crawl="CC-TEST-1", base_url=str(crawl))).parts) == 3


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (["a.wat.gz"], "lists 1 WATs"),
        ([], "lists no WATs"),
        (["../../etc/x", "b"], "not a relative path"),
        (["http://e.example/x", "b"], "not a"),
    ],
)
def test_a_listing_that_cannot_serve_is_refused(tmp_path, lines, problem):
    listing_of(tmp_path, lines)
    with pytest.raises(UserError, match=problem):
        run(ExtractConfig(out=str(tmp_path / "out"), crawl="CC-TEST-1", wats=2 if lines else None, base_url=str(tmp_path)))


def test_a_listing_that_is_no_gzip_is_refused(crawl, tmp_path):
    (crawl / "crawl-data" / "CC-TEST-1" / "wat.paths.gz").write_bytes(b"<html>")
    with pytest.raises(UserError, match="not a gzipped list"):
        run(ExtractConfig(out=str(tmp_path / "out"), crawl="CC-TEST-1", base_url=str(crawl)))


@pytest.mark.parametrize(
    "options",
    [{}, {"wat": ("x",), "crawl": "C"}, {"wat": ("x",), "wats": 3}, {"crawl": "../up"}, {"crawl": "C", "wats": 0}],
)
def test_options_that_contradict_each_other_are_refused(options):
    with pytest.raises(UsageError, match="extract: "):
        ExtractConfig(out="out", **options)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--wat", "/no/such.wat.gz"], 1, "/no/such.wat.gz: no such file"),
        (["--crawl", "C", "--base-url", "/no/such"], 1, "/no/such/crawl-data/C/wat.paths.gz: no such file"),
        ([], 2, "give either --wat PATH"),
    ],
)
def test_the_command_says_what_is_wrong_in_one_line(words, status, said, tmp_path, capsys):
    assert main(["extract", *words, "--out", str(tmp_path / "out")]) == status
    error = capsys.readouterr().err
    assert said in error
    assert len(error.strip().splitlines()) == 1


def test_importing_extract_imports_neither_spark_nor_torch():
    code = "import sys, pipeline.extract; print(sorted({'pyspark', 'torch', 'faiss'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
