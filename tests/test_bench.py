"""The benchmarks start, their input is what it says, and bench/README.md tells what they measured. Nothing is timed here."""

import gzip
import io
import ipaddress
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from bench import download_corpus, download_pool, fuzz_download, fuzz_images, fuzz_pictures, nginx, readme, wat
from bench.download_quality import psnr_db
from bench.fuzz_worker import Answer, Worker
from bench.measure import ratio, table
from bench.tree import cost_of
from pipeline.download.images.image import Picture, make_picture

REPOSITORY = Path(__file__).resolve().parent.parent
BENCH = REPOSITORY / "bench"
# What ends in _peer runs in the peer's environment only.
COMMANDS = sorted(path.stem for path in BENCH.glob("*.py") if "argparse" in path.read_text() and not path.stem.endswith("_peer"))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_benchmark_tells_how_it_is_called(name: str):
    command = [sys.executable, "-m", f"bench.{name}", "--help"]
    ran = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert f"bench.{name}" in ran.stdout


@pytest.mark.parametrize("path", sorted(BENCH.glob("*.py")), ids=lambda path: path.name)
def test_a_file_is_short_and_says_in_its_first_line_what_it_is_for(path: Path):
    lines = path.read_text().splitlines()
    assert lines[0].startswith('"""')
    assert len(lines) <= 400


def test_the_readme_s_tables_are_made_from_the_results():
    text = readme.README.read_text()
    assert readme.with_results(text) == text, "run: python -m bench.readme"


@pytest.mark.parametrize("path", sorted((BENCH / "results").glob("*.json")), ids=lambda path: path.stem)
def test_the_readme_shows_every_result(path: Path):
    found = json.loads(path.read_text())
    assert found["bench"] == path.stem
    assert f"<!-- results of {path.stem}: " in readme.README.read_text()


def record(target: str, body: str, kind: str = "metadata") -> bytes:
    head = f"WARC/1.0\r\nWARC-Type: {kind}\r\n" + (f"WARC-Target-URI: {target}\r\n" if target else "")
    return f"{head}Content-Length: {len(body.encode())}\r\n\r\n{body}\r\n\r\n".encode()


def test_a_copy_has_another_host_for_its_own_page_only():
    body = '{"u":"http://a.example/x","cdn":"https://cdn.a.example/x","more":"//a.example.org/y","own":"//a.example:80/é"}'
    copy = wat.on_another_host(record("http://a.example/dir/", body), 3)
    assert copy == record(
        "http://c3.a.example/dir/", body.replace('"http://a.', '"http://c3.a.').replace('"//a.example:', '"//c3.a.example:')
    )


def test_copies_repeat_pages_but_not_what_stands_at_the_head_of_a_wat():
    head, page = record("", "software: x", "warcinfo"), record("https://a.example/", '{"a":"https://a.example/"}')
    copies = list(wat.copied_records([head, page], 3))
    assert copies[:2] == [head, page]
    assert [wat.host_of(copy) for copy in copies[2:]] == [b"c1.a.example", b"c2.a.example"]


def test_a_length_is_set_right_only_where_one_is_stated():
    assert (
        wat.with_true_length(b"WARC/1.0\r\nContent-Length: 99\r\n\r\n{}\r\n\r\n")
        == b"WARC/1.0\r\nContent-Length: 2\r\n\r\n{}\r\n\r\n"
    )
    assert wat.with_true_length(b"WARC/1.0\r\n\r\n{}\r\n\r\n") == b"WARC/1.0\r\n\r\n{}\r\n\r\n"


def test_a_bench_wat_of_real_pages_is_a_valid_wat_of_distinct_pages(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(wat, "CACHE", tmp_path)
    source = shared_data / "wat" / "small.warc.wat.gz"
    records, copies = list(wat.records_of(source)), list(wat.records_of(wat.copied_wat(source, 2)))
    pages = [r for r in records if wat.host_of(r)]
    assert pages
    assert len(copies) == len(records) + len(pages)
    for copy, page in zip(copies[len(records) :], pages, strict=True):
        head, _, block = copy.partition(b"\r\n\r\n")
        stated = next(line for line in head.split(b"\r\n") if line.startswith(b"Content-Length: "))
        assert block[int(stated.split()[1]) :] == b"\r\n\r\n"
        assert json.loads(block)["Envelope"]["WARC-Header-Metadata"]["WARC-Target-URI"].encode() in head
        assert wat.host_of(copy) == b"c1." + wat.host_of(page)


def test_records_of_a_wat_are_its_members(tmp_path: Path):
    records = [record("https://a.example/", "{}"), record("https://b.example/", "[]")]
    (tmp_path / "x.wat.gz").write_bytes(b"".join(map(gzip.compress, records)))
    assert list(wat.records_of(tmp_path / "x.wat.gz")) == records


def test_ratios_are_taken_round_by_round():
    found = ratio([{"cpu_s": 2.0}, {"cpu_s": 9.0}, {"cpu_s": 4.0}], [{"cpu_s": 1.0}, {"cpu_s": 3.0}, {"cpu_s": 1.0}])
    assert (found.median, found.least, found.most) == (3.0, 2.0, 4.0)


def test_a_table_keeps_three_digits_and_sets_thousands_apart():
    assert table([{"side": "ours", "CPU s": 0.7512, "rows": 113256}]) == (
        "| side | CPU s |    rows |\n|------|------:|--------:|\n| ours |  0.75 | 113,256 |"
    )


def test_the_cost_of_a_command_includes_children_that_nobody_waits_for(tmp_path: Path):
    burn = f"{sys.executable} -c 'import time\nwhile time.process_time() < 0.6: pass'"
    command = ["bash", "-c", f"(({burn}; touch done) &); {burn}; until [ -e done ]; do sleep 0.1; done"]
    assert cost_of(command, folder=tmp_path, log=tmp_path / "log").total_s > 0.9


def test_a_command_that_fails_ends_the_benchmark_with_its_output(tmp_path: Path):
    with pytest.raises(SystemExit, match="no such luck"):
        cost_of(["bash", "-c", "echo no such luck; exit 3"], folder=tmp_path, log=tmp_path / "log")


@pytest.mark.slow
def test_the_fuzz_run_of_extract_works(shared_data: Path):
    command = [sys.executable, "-m", "bench.fuzz_extract", "--count", "12", "--alone"]
    environment = {**os.environ, "WEBPAIRS_SHARED": str(shared_data.parent)}
    ran = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert ran.stdout.endswith("seed 0: 12 inputs, 0 findings\n"), ran.stdout + ran.stderr


def extract_nothing(wat: Path) -> list[dict]:
    content = wat.read_bytes()
    if content == b"raise":
        raise ValueError("so it is told")
    if content == b"die":
        os.kill(os.getpid(), 9)
    if content == b"hang":
        time.sleep(60)
    return [{"uid": content.decode()}]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fuzz_worker_tells_exceptions_deaths_and_hangs_and_goes_on(tmp_path: Path):
    with Worker(extract_nothing, tmp_path / "wat", limit_s=2) as worker:
        assert worker.answer(b"raise").error.endswith("ValueError: so it is told\n")
        assert worker.answer(b"die").error.endswith("signal 9")
        assert "no answer after 2 s" in worker.answer(b"hang").error
        assert worker.answer(b"fine").rows == [{"uid": "fine"}]


def test_the_corpora_hold_the_shares_that_they_state():
    for corpus, plan in download_corpus.CORPORA.items():
        files = download_corpus.specimens(corpus)
        assert [file.number for file in files] == list(range(plan.files))
        for form, share in plan.shares.items():
            assert sum(file.format == form for file in files) == pytest.approx(share * plan.files, abs=1)
    sides = [max(file.width, file.height) for file in download_corpus.specimens("laion")]
    assert sum(side <= 512 for side in sides) / len(sides) == pytest.approx(0.74, abs=0.002)


@pytest.mark.parametrize("form", ["jpeg", "progressive", "webp", "png", "gif"])
def test_a_file_of_a_corpus_is_what_its_specimen_says_and_close_to_its_source(form: str):
    specimen = min(
        (file for file in download_corpus.specimens("laion") if file.format == form), key=lambda file: file.width * file.height
    )
    file = download_corpus.encoded(specimen)
    image = Image.open(io.BytesIO(file))
    assert (image.format, image.size) == ({"progressive": "JPEG"}.get(form, form.upper()), (specimen.width, specimen.height))
    assert bool(image.info.get("progressive")) == (form == "progressive")
    assert file == download_corpus.encoded(specimen)
    if not specimen.alpha:
        assert psnr_db(np.asarray(image.convert("RGB")), download_corpus.source_pixels(specimen)) > 20


def test_transparent_parts_of_a_source_are_white():
    specimen = next(file for file in download_corpus.specimens("laion") if file.alpha)
    assert (download_corpus.source_pixels(specimen)[0, 0] == 255).all()


def test_a_pool_s_urls_are_distinct_and_lead_back_to_their_files(tmp_path: Path):
    server = nginx.Server(http_port=8080, https_port=8443, authorities=tmp_path)
    pool = download_pool.write_pool(tmp_path / "pool", "dense", "https", server, 2000)
    urls = pq.read_table(pool / "part-00000.parquet")["url"].to_pylist()
    files = download_corpus.specimens("dense")
    assert len(set(urls)) == 2000
    assert sum(map(download_pool.is_first_of_its_file, urls)) == len(files)
    assert download_pool.specimen_of(urls[803], "dense") == files[3]
    assert 500 < len({url.split("/")[2] for url in urls}) < 1500


def test_addresses_of_hosts_are_distinct_and_on_loopback():
    addresses = [ipaddress.ip_address(nginx.address_of(host)) for host in range(nginx.HOSTS)]
    assert len(set(addresses)) == nginx.HOSTS
    assert all(address.is_loopback for address in addresses)


def test_psnr_of_one_grey_level_is_48_db_and_that_of_equal_pictures_bounded():
    grey = np.full((4, 4, 3), 100, np.uint8)
    assert psnr_db(grey, grey + 1) == pytest.approx(48.13, abs=0.01)
    assert psnr_db(grey, grey) == 100


def test_the_cost_of_a_command_has_its_memory_and_stays_on_its_cores(tmp_path: Path):
    core = max(os.sched_getaffinity(0))
    hold = "import os, time; held = b'x' * 100_000_000; print(os.sched_getaffinity(0)); time.sleep(1)"
    cost = cost_of([sys.executable, "-c", hold], folder=tmp_path, log=tmp_path / "log", cores={core})
    assert (tmp_path / "log").read_text() == f"{{{core}}}\n"
    assert 100 < cost.peak_pss_mb < 200
    assert cost.peak_rss_mb >= cost.peak_pss_mb


@pytest.mark.slow
def test_the_fuzz_run_of_download_works(tmp_path: Path):
    command = [sys.executable, "-m", "bench.fuzz_download", "--count", "60", "--keep", str(tmp_path)]
    ran = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert ran.stdout.endswith("seed 0: 60 inputs, 0 findings\n"), ran.stdout + ran.stderr
    assert not list(tmp_path.iterdir())


def test_pictures_to_fuzz_with_are_sound_and_made_up_of_their_parts():
    settings = fuzz_download.SETTINGS[1]
    for name, body in fuzz_pictures.pictures().items():
        assert fuzz_images.joined(body, fuzz_images.parts_of(body)) == body, name
        if name != "tiff F":  # no range of values is known
            assert fuzz_download.problem_of(make_picture(body, settings), settings) == "", name


def test_an_input_of_the_fuzz_run_follows_from_seed_and_number():
    corpus = list(fuzz_pictures.pictures().values())
    cases = [fuzz_download.case_of(3, number, corpus) for number in range(200)]
    assert cases == [fuzz_download.case_of(3, number, corpus) for number in range(200)]
    assert {word for case in cases for word in case.how.split("+") if word} == {one.__name__ for one in fuzz_images.MUTATIONS}


def test_metadata_and_sizes_that_are_not_as_told_are_findings():
    body, settings = fuzz_pictures.pictures()["png metadata"], fuzz_download.SETTINGS[-1]
    picture = Picture(body, 45, 34, 45, 34, "{}", True)
    assert "metadata" in fuzz_download.problem_of(picture, settings)
    assert "told" in fuzz_download.problem_of(picture._replace(width=44), settings)
    row = {"problem": "", "peak_mb": 500.0, "before_mb": 100.0, "estimate_mb": 100.0, "format": "GIF"}
    assert "100 MB were estimated (GIF)" in fuzz_download.finding_in(Answer([row], "", 0.1, 500.0))
    assert fuzz_download.finding_in(Answer([{**row, "estimate_mb": 400.0}], "", 0.1, 500.0)) == ""


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_finding_is_kept_with_as_few_bytes_as_have_it(tmp_path: Path):
    case = fuzz_download.Case(b"x" * 1000 + b"raise" + b"y" * 1000, 0, 0, "")
    with Worker(fails_on_raise, tmp_path / "body", limit_s=5) as worker:
        finding = fuzz_download.finding_in(worker.answer(case.file))
        assert fuzz_download.smallest(case, finding, worker).body == b"raise"


def fails_on_raise(file: Path) -> list[dict]:
    if b"raise" in file.read_bytes():
        raise ValueError("so it is told")
    return [{"problem": "", "peak_mb": 0.0, "before_mb": 0.0, "estimate_mb": 0.0}]
