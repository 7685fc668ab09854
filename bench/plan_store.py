"""How many requests a part makes of an object store: `extract` and `download` on moto's S3 server, counted in its log."""

import os
import re
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.places import REPOSITORY
from bench.plan_shards import pool_on
from bench.result import Figure
from bench.tree import cost_of

_STARTS_WITHIN_S = 60
_REQUEST = re.compile(r'"(GET|HEAD|PUT|POST|DELETE) (\S+) HTTP')
_PARTS = (2, 6)
_ROWS_PER_SHARD = 100


def store_figures(wat: Path, root: Path) -> list[Figure]:
    """Requests per part beyond those of the job: a run of few parts taken from one of more."""
    with moto(root / "moto.log") as env:
        extracting = [_extract(wat, root, env, parts) for parts in _PARTS]
        downloading = [_download(root, env, parts) for parts in _PARTS]
    figures = []
    for stage, (few, many) in (("extract", extracting), ("download", downloading)):
        per = {kind: (many[kind] - few[kind]) / (_PARTS[1] - _PARTS[0]) for kind in ("write", "read")}
        of = "one file" if stage == "extract" else "a tar, its parquet and its stats"
        figures += [
            Figure(
                key=f"{stage}_store_{kind}s_per_part",
                value=value,
                meaning=f"{kind} requests ({_KINDS[kind]}) per part of {stage}, which writes {of}",
            )
            for kind, value in per.items()
        ]
    return figures


_KINDS = {"write": "PUT, POST, copies and lists", "read": "GET and HEAD"}


def _kind(method: str, target: str) -> str:
    """As stores bill them: lists cost what writes cost, and deleting nothing."""
    if method == "DELETE":
        return "free"
    return "write" if method in ("PUT", "POST") or "list-type=" in target or "prefix=" in target else "read"


def _extract(wat: Path, root: Path, env: dict[str, str], parts: int) -> Counter[str]:
    import s3fs

    where = s3fs.S3FileSystem(endpoint_url=env["AWS_ENDPOINT_URL"], key="key", secret="secret", skip_instance_cache=True)
    where.mkdir(f"wats{parts}")
    for number in range(parts):
        where.put(str(wat), f"wats{parts}/wat/{number:05d}.warc.wat.gz")
    return _counted(root, env, "extract", "--wat", f"s3://wats{parts}/wat", "--out", f"s3://wats{parts}/out")


def _download(root: Path, env: dict[str, str], parts: int) -> Counter[str]:
    import s3fs

    where = s3fs.S3FileSystem(endpoint_url=env["AWS_ENDPOINT_URL"], key="key", secret="secret", skip_instance_cache=True)
    where.mkdir(f"shards{parts}")
    with pool_on(root, f"on a store {parts}", parts * _ROWS_PER_SHARD, "laion") as pool:
        where.put(str(pool / "part-00000.parquet"), f"shards{parts}/pool/part-00000.parquet")
        words = ("--samples-per-shard", str(_ROWS_PER_SHARD), "--allow-private-addresses")
        return _counted(root, env, "download", "--pool", f"s3://shards{parts}/pool", "--out", f"s3://shards{parts}/out", *words)


def _counted(root: Path, env: dict[str, str], *words: str) -> Counter[str]:
    log = root / "moto.log"
    before = log.stat().st_size
    cost_of([sys.executable, "-m", "pipeline.cli", *words], folder=REPOSITORY, log=root / f"{words[0]}.log", env=env)
    with log.open() as lines:
        lines.seek(before)
        return Counter(_kind(*found.groups()) for line in lines if (found := _REQUEST.search(line)))


@contextmanager
def moto(log: Path) -> Iterator[dict[str, str]]:
    """An S3 server on loopback for as long as the block lasts; the environment that leads s3:// to it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with log.open("w") as output:
        command = [sys.executable, "-m", "moto.server", "-p", str(port)]
        server = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        until = time.monotonic() + _STARTS_WITHIN_S
        while not _listens(port):
            if server.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"moto did not start: {log.read_text()[-2000:]}")
            time.sleep(0.2)
        url = f"http://127.0.0.1:{port}"
        named = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
        yield {"AWS_ENDPOINT_URL": url, **named, "no_proxy": "*", "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    finally:
        server.kill()
        server.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
