"""Options of download that say what is asked for: hashes, columns, boxes, contact, robots.txt; bad values in one line."""

import hashlib
import io
import json
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageStat

from pipeline.cli import main
from pipeline.download import DownloadConfig
from schemas.errors import UsageError

COMMON = ["--allow-private-addresses", "--retries", "0", "--workers", "1"]


@pytest.fixture
def download(tmp_path, capsys):
    """`webpairs download` of a table; (exit code, rows of the sidecar, what it said on stderr)."""

    def download(columns, *words):
        folder = tmp_path / "pool"
        folder.mkdir(exist_ok=True)
        rows = len(columns["url"])
        table = pa.table({"uid": [f"{n:032x}" for n in range(rows)], "text": ["text"] * rows, **columns})
        pq.write_table(table, folder / "x.parquet")
        code = main(["download", "--pool", str(folder), "--out", str(tmp_path / "out"), *COMMON, *words])
        sidecar = tmp_path / "out/00000.parquet"
        return code, pq.read_table(sidecar).to_pylist() if sidecar.exists() else None, capsys.readouterr().err

    return download


def test_bytes_with_another_hash_are_not_stored(download, web, make):
    body = make.picture(50, 50)
    hashes = [hashlib.new(name, body).hexdigest() for name in ("md5", "sha1", "sha256", "sha512")]
    wanted = [*hashes, hashes[2].upper(), None, "0" * 64, "", "not a hash"]
    url = web.serve("/a.jpg", body)
    code, rows, _ = download({"url": [url] * len(wanted), "wanted": wanted}, "--verify-hash", "wanted")
    assert code == 0
    assert [row["error_message"] for row in rows] == [None] * 6 + ["hash_mismatch"] * 3


@pytest.mark.parametrize("name", ["md5", "sha1", "sha512"])
def test_another_hash_of_the_bytes_as_served_is_told(download, web, make, name):
    body = make.picture(50, 50)
    _, rows, _ = download({"url": [web.serve("/a.jpg", body), web.url("/b")]}, "--compute-hash", name)
    assert [row[name] for row in rows] == [hashlib.new(name, body).hexdigest(), None]
    assert rows[0]["sha256"] == hashlib.sha256(body).hexdigest()


def test_columns_are_carried_into_json_and_sidecar(download, web, make, tmp_path):
    columns = {"url": [web.serve("/a.jpg", make.picture(50, 50))], "score": [0.25], "tags": [["a", "é"]], "other": [1]}
    _, rows, _ = download(columns, "--carry", "score", "tags")
    assert (rows[0]["score"], rows[0]["tags"]) == (0.25, ["a", "é"])
    assert "other" not in rows[0]
    with tarfile.open(tmp_path / "out/00000.tar") as tar:
        told = json.loads(tar.extractfile(next(name for name in tar.getnames() if name.endswith(".json"))).read())
    assert (told["score"], told["tags"]) == (0.25, ["a", "é"])


def test_boxes_are_blurred(download, web, make, tmp_path):
    stripes = Image.new("L", (64, 64))
    stripes.putdata([255 * (n % 2) for n in range(64 * 64)])
    encoded = io.BytesIO()
    stripes.convert("RGB").save(encoded, "PNG")
    columns = {"url": [web.serve("/a.png", encoded.getvalue())], "boxes": [[[0.0, 0.0, 0.5, 1.0]]]}
    code, _, _ = download(columns, "--blur-boxes", "boxes", "--encode-format", "png", "--encode-quality", "1")
    assert code == 0
    with tarfile.open(tmp_path / "out/00000.tar") as tar:
        image = Image.open(tar.extractfile(next(name for name in tar.getnames() if name.endswith(".png")))).convert("L")
    blurred, sharp = (ImageStat.Stat(image.crop(box)).stddev[0] for box in ((4, 4, 24, 60), (44, 4, 60, 60)))
    assert blurred < sharp / 3


@pytest.mark.parametrize(
    "boxes", [None, [], [None], [[0.1, 0.2]], [[2.0, 2.0, 3.0, 3.0]], [[0.5, 0.5, 0.1, 0.1]], [[float("nan")] * 4]]
)
def test_boxes_that_are_none_cost_no_shard(download, web, make, boxes):
    kind = pa.list_(pa.list_(pa.float64()))
    columns = {"url": [web.serve("/a.jpg", make.picture(50, 50))], "boxes": pa.array([boxes], kind)}
    code, rows, _ = download(columns, "--blur-boxes", "boxes")
    assert code == 0
    assert len(rows) == 1


@pytest.mark.parametrize(("option", "column"), [("--verify-hash", pa.array([1])), ("--blur-boxes", pa.array(["no boxes"]))])
def test_a_column_of_another_type_is_refused_in_one_line(download, web, make, option, column):
    url = web.serve("/a.jpg", make.picture(50, 50))
    code, rows, said = download({"url": [url], "given": column}, option, "given")
    assert (code != 0, rows, said.count("\n")) == (True, None, 1)
    assert "given" in said


def test_site_owners_are_told_who_asks_and_how_to_reach_them(download, web, make):
    agents = []

    def how(handler):
        agents.append(handler.headers["User-Agent"])
        make.send(handler, make.picture(50, 50))

    download({"url": [web.answer("/a.jpg", how)]}, "--contact", "https://a.example/bot")
    assert len(agents) == 1
    assert agents[0].startswith("webpairs/")
    assert agents[0].endswith("(+https://a.example/bot)")


def test_robots_txt_is_heeded_where_that_is_asked_for(download, web, make):
    web.serve("/robots.txt", b"User-agent: *\nDisallow: /private/")
    urls = [web.serve(path, make.picture(50, 50)) for path in ("/a.jpg", "/private/a.jpg")]
    _, rows, _ = download({"url": urls}, "--robots-txt")
    assert [row["error_message"] for row in rows] == [None, "robots_txt"]


def test_an_address_of_this_machine_is_refused_on_the_command_line_too(tmp_path, web, make):
    pool = make.pool(tmp_path / "pool", [(web.serve("/a.jpg", make.picture(50, 50)), "a")])
    assert main(["download", "--pool", str(pool), "--out", str(tmp_path / "out"), "--retries", "0"]) == 0
    assert pq.read_table(tmp_path / "out/00000.parquet")["error_message"].to_pylist() == ["blocked_address"]
    assert not web.requests


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("per_host", 0), ("host_interval_s", -1.0), ("max_wait_s", float("nan")), ("timeout_s", 0.0), ("retries", -1)),
        *(("concurrency", 0), ("max_bytes", 0), ("user_agent", "a\nb"), ("contact", "é"), ("user_agent", ""), ("contact", "")),
        *(("user_agent", " "), ("contact", "a\r\nX: y"), ("timeout_s", float("inf")), ("samples_per_shard", 0)),
    ],
)
def test_values_out_of_bounds_are_wrong_usage(name, value):
    with pytest.raises(UsageError, match=f"^--{name.replace('_', '-')}[^\n]*$"):
        DownloadConfig(pool="p", out="o", **{name: value})


@pytest.mark.parametrize(
    "words",
    [
        *(["--carry", "key"], ["--carry", "nowhere"], ["--verify-hash", "nowhere"], ["--blur-boxes", "nowhere"]),
        *(["--per-host", "none"], ["--compute-hash", "crc32"], ["--timeout-s", "-1"], ["--contact", "two\nlines"]),
    ],
)
def test_the_command_says_in_one_line_what_is_wrong(tmp_path, make, capsys, words):
    pool = make.pool(tmp_path / "pool", [("http://a.example/", "a")])
    try:
        code = main(["download", "--pool", str(pool), "--out", str(tmp_path / "out"), *words])
    except SystemExit as ended:
        code = ended.code
    said = capsys.readouterr().err
    assert code in (1, 2)
    assert words[0] in said or words[1] in said
    assert "Traceback" not in said
    assert len(said.strip().splitlines()[-1]) < 500
    assert not (tmp_path / "out/00000.parquet").exists()
