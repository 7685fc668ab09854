"""The entry points as a cluster runs them: a real spark-submit, the code from the zip alone."""

import functools
import gzip
import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pyspark
import pytest

from jobs.package import write_zip
from pipeline.spark import java_home
from schemas.candidates import CANDIDATES
from schemas.pool import POOL

REPOSITORY = Path(__file__).resolve().parents[2]
JOBS = ("extract", "pool", "download", "score", "dedup", "filter", "reshard")


@pytest.fixture(scope="session")
def code(tmp_path_factory):
    """The zip, in a folder of its own."""
    path = tmp_path_factory.mktemp("dist") / "webpairs.zip"
    write_zip(path)
    return path


@pytest.fixture
def submit(code, tmp_path):
    """A function: spark-submit a script in an empty folder, with the code from the zip only."""

    def run(script, *arguments):
        away = tmp_path / "away"
        away.mkdir(exist_ok=True)
        # A copy: beside its packages, a script would need no zip.
        script = Path(away / Path(script).name)
        script.write_bytes((REPOSITORY / "jobs" / script.name).read_bytes() if not script.exists() else script.read_bytes())
        program = Path(pyspark.__file__).parent / "bin" / "spark-submit"
        settings = ["spark.ui.enabled=false", "spark.driver.host=127.0.0.1", "spark.driver.bindAddress=127.0.0.1"]
        confs = [word for setting in settings for word in ("--conf", setting)]
        command = [str(program), "--master", "local[2]", *confs, "--py-files", str(code), str(script), *map(str, arguments)]
        places = {
            "JAVA_HOME": java_home(),
            "SPARK_HOME": str(Path(pyspark.__file__).parent),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "PYSPARK_PYTHON": sys.executable,
            "OMP_NUM_THREADS": "1",
        }
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | places
        return subprocess.run(command, cwd=away, env=environment, capture_output=True, text=True, timeout=240, check=False)

    return run


def last_words(done):
    """What a failed job said, without Spark's log."""
    lines = (done.stdout + done.stderr).splitlines()
    return "\n".join(line for line in lines if " INFO " not in line)[-3000:]


def pool_rows(rows):
    """Rows of a pool in which only text and URL matter."""
    missing = {
        "page_url": "http://example.org/",
        "wat_path": "a.wat.gz",
        "record_offset": 0,
        "source": "img",
        "domain": "127.0.0.1",
        "opted_out": False,
        "n_records": 1,
    }
    made = [
        missing | {"uid": hashlib.md5((text + url).encode()).hexdigest(), "text": text, "url": url, "sample_rank": rank}
        for rank, (text, url) in enumerate(rows)
    ]
    return pa.Table.from_pylist(made, schema=POOL)


@pytest.mark.slow
def test_the_code_comes_from_the_zip_on_driver_and_workers(submit, code, tmp_path):
    (tmp_path / "away").mkdir()
    (tmp_path / "away" / "probe.py").write_text(
        "from pyspark.sql import SparkSession\n"
        "import filters, jobs, pipeline, schemas\n"
        "def where(_):\n"
        "    import filters, jobs, pipeline, schemas\n"
        "    return [package.__file__ for package in (filters, jobs, pipeline, schemas)]\n"
        "spark = SparkSession.builder.getOrCreate()\n"
        "for path in where(0) + spark.sparkContext.parallelize([0], 1).flatMap(where).collect():\n"
        "    print('from', path)\n"
        "spark.stop()\n"
    )
    done = submit("probe.py")
    places = [line.removeprefix("from ") for line in done.stdout.splitlines() if line.startswith("from ")]
    assert len(places) == 8, last_words(done)
    assert all("webpairs.zip/" in place for place in places), places


@pytest.mark.slow
def test_extract_runs_on_spark_submit(submit, tmp_path):
    links = [{"path": "IMG@/src", "url": "/cat.jpg", "alt": "a red cat"}, {"path": "A@/href", "url": "/"}]
    payload = {"HTTP-Response-Metadata": {"HTML-Metadata": {"Links": links}}}
    header = {"WARC-Target-URI": "http://example.org/", "WARC-Date": "2024-05-21T00:00:00Z", "WARC-Type": "response"}
    body = json.dumps({"Envelope": {"WARC-Header-Metadata": header, "Payload-Metadata": payload}}).encode()
    record = b"WARC/1.0\r\nWARC-Type: metadata\r\nContent-Length: %d\r\n\r\n%s\r\n\r\n" % (len(body), body)
    wat = tmp_path / "one.warc.wat.gz"
    wat.write_bytes(gzip.compress(record, mtime=0))
    done = submit("extract.py", "--wat", wat, "--out", tmp_path / "out")
    assert done.returncode == 0, last_words(done)
    (path,) = (tmp_path / "out").glob("*.parquet")
    assert [(row["url"], row["text"]) for row in pq.read_table(path).to_pylist()] == [("http://example.org/cat.jpg", "a red cat")]


@pytest.mark.slow
def test_pool_runs_on_spark_submit(submit, tmp_path):
    rows = pool_rows([("a red cat", "http://example.org/cat.jpg")] * 3).select(CANDIDATES.names).cast(CANDIDATES)
    (tmp_path / "candidates").mkdir()
    pq.write_table(rows, tmp_path / "candidates" / "a.parquet")
    done = submit("pool.py", "--candidates", tmp_path / "candidates", "--out", tmp_path / "out", "--partitions", 2)
    assert done.returncode == 0, last_words(done)
    assert "dropped_duplicate 2, rows_in 3, rows_out 1" in done.stdout
    (path,) = (tmp_path / "out").glob("*.parquet")
    assert pq.read_table(path)["n_records"].to_pylist() == [3]


@pytest.fixture
def picture_url(tmp_path):
    """A picture on a server on loopback."""
    from PIL import Image

    folder = tmp_path / "site"
    folder.mkdir()
    Image.new("RGB", (64, 48), "red").save(folder / "red.png")
    quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/red.png"
        server.shutdown()
        thread.join()


@pytest.mark.slow
def test_download_and_score_run_on_spark_submit(submit, tmp_path, picture_url):
    (tmp_path / "pool").mkdir()
    pairs = [("a red picture", picture_url), ("an absent one", picture_url.replace("red", "blue"))]
    pq.write_table(pool_rows(pairs), tmp_path / "pool" / "part-00000.parquet")
    shards = tmp_path / "shards"
    done = submit("download.py", "--pool", tmp_path / "pool", "--out", shards, "--allow-private-addresses", "--retries", 0)
    assert done.returncode == 0, last_words(done)
    (sidecar,) = shards.glob("*.parquet")
    statuses = {row["caption"]: row["status"] for row in pq.read_table(sidecar).to_pylist()}
    assert statuses == {"a red picture": "success", "an absent one": "failed_to_download"}

    checkpoint = random_weights(tmp_path / "weights.pt")
    done = submit("score.py", "--shards", shards, "--out", tmp_path / "scores", "--model", "demo", "--pretrained", checkpoint)
    assert done.returncode == 0, last_words(done)
    (path,) = (tmp_path / "scores").glob("*.parquet")
    assert pq.read_table(path)["text"].to_pylist() == ["a red picture"]


def random_weights(path):
    """A checkpoint of the model `demo`, untrained."""
    torch = pytest.importorskip("torch")
    from pipeline.clip import load_clip

    torch.manual_seed(0)
    torch.save(load_clip("demo", None).model.state_dict(), path)
    return path


@pytest.mark.slow
def test_a_jobs_exit_status_is_that_of_the_command_line(submit, tmp_path):
    failed = submit("pool.py", "--candidates", tmp_path / "absent", "--out", tmp_path / "out")
    assert failed.returncode == 1
    # spark-submit sends both of the script's streams to its own stdout.
    assert [line for line in failed.stdout.splitlines() if line.startswith("webpairs")] == [
        f"webpairs pool: {tmp_path / 'absent'}: no candidates (*.parquet) there; give the folder that `extract` wrote"
    ]
    assert "Traceback" not in failed.stdout + failed.stderr
    wrong = submit("pool.py", "--candidates", tmp_path, "--out", tmp_path / "out", "--sample", "2")
    assert wrong.returncode == 2
    assert "webpairs pool: --sample 2.0: must be more than 0 and at most 1" in wrong.stdout


def test_the_zip_is_the_same_each_time_and_holds_every_package(tmp_path):
    for name in ("once.zip", "again.zip"):
        write_zip(tmp_path / name)
    assert (tmp_path / "once.zip").read_bytes() == (tmp_path / "again.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "once.zip") as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names} == {"schemas", "filters", "pipeline", "jobs"}
    assert {"pipeline/stage.py", "pipeline/spark_logging.properties", *(f"jobs/{job}.py" for job in JOBS)} <= set(names)
    assert not [name for name in names if "__pycache__" in name]


@pytest.mark.parametrize("job", JOBS)
def test_a_job_is_short_and_has_settings_to_go_with_it(job):
    text = (REPOSITORY / "jobs" / f"{job}.py").read_text()
    assert len(text.splitlines()) <= 40
    named = text.partition("--properties-file ")[2].split()[0]
    assert (REPOSITORY / named).is_file()


@pytest.mark.parametrize("path", sorted((REPOSITORY / "jobs" / "conf").glob("*.conf")), ids=lambda path: path.stem)
def test_every_setting_of_a_conf_file_is_sparks_and_is_explained(path):
    explained = False
    for line in path.read_text().splitlines()[1:]:
        if line.startswith("#"):
            explained = True
        elif line:
            name, value = line.split(maxsplit=1)
            assert name.startswith("spark.")
            assert value
        else:
            explained = False
        assert explained or not line, line
