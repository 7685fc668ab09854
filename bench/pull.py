"""`webpairs pull` beside huggingface_hub (as DataComp's download_upstream.py uses it), curl and wget: a release over loopback.

`python -m bench.pull [--files N] [--repeats N]`: a release of N files of 51 MB, made here. Every side gets the same files from
the same nginx: all of them, several times in turn; and once over a slower line, killed with -9 in the middle and started again,
when what the server sent beyond the release's size is what was sent twice. Ours hashes what comes; of the others one curl is
followed by sha256sum. And ours for three columns. Writes bench/results/pull.json.
"""

import argparse
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa

from bench.places import CACHE, REPOSITORY
from bench.pull_hub import DATA_SET, Hub, hub
from bench.result import Figure, finish, result, versions
from pipeline.release.data_files import write_data_file
from pipeline.release.layout import Release, write_release
from pipeline.release.sums import sums_of, write_sums

_ROWS = 1 << 18  # of a file, in four row groups
_FILES = 20
_AT_A_TIME = 8
_SLOW_MB = 40  # MB/s of each connection, where the run is to be killed in its middle
_COLUMNS = ("text", "clip_b32_similarity_score")
_RELEASE = pa.schema(
    [
        *((name, pa.string()) for name in ("uid", "url", "text", "domain", "page_url", "sha256")),
        ("clip_b32_similarity_score", pa.float32()),
    ]
)


@dataclass(frozen=True, kw_only=True)
class Side:
    """Somebody's download of the whole release: the command, given the server's address and an empty folder."""

    name: str
    command: Callable[[str, Path], list[str]]


def make_release(folder: Path, files: int) -> int:
    """A release of random values, which do not compress better than real ones; its size in bytes."""
    data = {}
    (folder / "data").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(files):
        name = f"data/{number:05d}.parquet"
        with (folder / name).open("wb") as file:
            data[name] = write_data_file(file, _RELEASE, _tables(rng, number))
    columns = tuple({"name": field.name, "type": str(field.type), "unit": "", "doc": ""} for field in _RELEASE)
    write_release(str(folder), Release(name="bench", rows=files * _ROWS, columns=columns, data=data))
    write_sums(str(folder), sums_of(str(folder), [*data, "release.json"]))
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _tables(rng: np.random.Generator, number: int) -> Iterator[pa.Table]:
    lengths = {"uid": 16, "url": 40, "text": 45, "page_url": 40, "sha256": 32}
    for _ in range(4):
        rows = _ROWS // 4
        values = {name: _hex(rng, rows, length) for name, length in lengths.items()}
        values["domain"] = pa.array([f"site{number:05d}.example"] * rows)
        values["clip_b32_similarity_score"] = pa.array(rng.random(rows, np.float32))
        yield pa.table({name: values[name] for name in _RELEASE.names}, schema=_RELEASE)


def _hex(rng: np.random.Generator, rows: int, length: int) -> pa.Array:
    """`rows` strings of 2 × `length` hex digits."""
    offsets = np.arange(0, (rows + 1) * 2 * length, 2 * length, np.int32)
    return pa.StringArray.from_buffers(rows, pa.py_buffer(offsets), pa.py_buffer(rng.bytes(rows * length).hex().encode()))


def sides(names: list[str], scratch: Path) -> list[Side]:
    """The four, each with as many connections as it takes at a time."""

    def listed(url: str, form: str) -> str:
        path = scratch / "list.txt"
        path.write_text("".join(form.format(url=f"{url}/{name}", name=name) for name in names))
        return str(path)

    def ours(url: str, folder: Path) -> list[str]:
        return [sys.executable, "-m", "pipeline.cli", "pull", url, str(folder), "--workers", str(_AT_A_TIME)]

    def hub_library(url: str, folder: Path) -> list[str]:
        code = (
            "import sys; from huggingface_hub import snapshot_download; "
            f"snapshot_download({DATA_SET!r}, repo_type='dataset', local_dir=sys.argv[1], "
            f"max_workers={_AT_A_TIME}, endpoint={url!r})"
        )
        return [sys.executable, "-c", code, str(folder)]

    def curl(url: str, folder: Path) -> list[str]:
        config = listed(url, 'url = "{url}"\noutput = "{name}"\n')
        options = ["--parallel", "--parallel-max", str(_AT_A_TIME), "--create-dirs", "--silent", "--no-progress-meter", "-C", "-"]
        return ["curl", *options, "--output-dir", str(folder), "--config", config]

    def curl_verified(url: str, folder: Path) -> list[str]:
        return ["sh", "-c", 'cd "$0" && "$@" && sha256sum --quiet -c SHA256SUMS', str(folder), *curl(url, folder)]

    def wget(url: str, folder: Path) -> list[str]:
        return ["wget", "-q", "-c", "-x", "-nH", "-P", str(folder), "-i", listed(url, "{url}\n")]

    return [
        Side(name="webpairs pull", command=ours),
        Side(name="huggingface_hub snapshot_download", command=hub_library),
        Side(name="curl --parallel", command=curl),
        Side(name="curl --parallel, then sha256sum -c", command=curl_verified),
        Side(name="wget", command=wget),
    ]


def timed(command: list[str], scratch: Path) -> dict[str, float]:
    """What a command costs: wall and CPU seconds, of all its processes."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        command, check=True, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=_environment(scratch)
    )
    wall_s, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"wall_s": wall_s, "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


def _environment(scratch: Path) -> dict[str, str]:
    return {**os.environ, "HF_HOME": str(scratch / "hf"), "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}


def whole(side: Side, url: str, release: Path, scratch: Path) -> dict[str, float]:
    """One download of everything into an empty folder. Raises SystemExit where what came is not the release."""
    with _emptied(scratch / "copy") as folder:
        cost = timed(side.command(url, folder), scratch)
        _compare(side, release, folder)
    return cost


def killed_and_again(side: Side, served: Hub, release: Path, scratch: Path, size: int) -> dict[str, float]:
    """A download that is killed with -9 at 40 % and begun again; MB that the server sent besides the release's own."""
    before = served.bytes_sent()
    with _emptied(scratch / "copy") as folder:
        command = side.command(served.slow, folder)
        process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=_environment(scratch),
        )
        until = time.monotonic() + 60
        while process.poll() is None and _bytes_in(folder) < 0.4 * size and time.monotonic() < until:
            time.sleep(0.01)
        finished = process.poll() is not None
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if finished:
            raise SystemExit(f"{side.name}: ended before it could be killed")
        subprocess.run(
            command, check=False, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=_environment(scratch)
        )
        _compare(side, release, folder)
    return {"sent_twice_mb": (served.bytes_sent() - before - size) / 1e6}


class _emptied:  # noqa: N801 - read as a verb
    """A folder that is new for the block, and gone after it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> Path:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        return self._folder

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder)


def _bytes_in(folder: Path) -> int:
    """Bytes that are on the disk: sparse files count for what they hold."""
    found = 0
    for path in folder.rglob("*"):
        try:
            found += path.stat().st_blocks * 512
        except FileNotFoundError:  # it has just got its name
            continue
    return found


def _compare(side: Side, release: Path, folder: Path) -> None:
    for path in release.rglob("*"):
        if path.is_file() and subprocess.run(["cmp", "-s", path, folder / path.relative_to(release)], check=False).returncode:
            raise SystemExit(f"{side.name}: {path.relative_to(release)} is not the release's")


def measure(files: int, repeats: int, scratch: Path) -> dict[str, object]:
    """Everything, as bench/results has it."""
    release = scratch / "release"
    shutil.rmtree(release, ignore_errors=True)
    size = make_release(release, files)
    names = sorted(path.relative_to(release).as_posix() for path in release.rglob("*") if path.is_file())
    contenders = sides(names, scratch)
    with hub(release, slow_mb=_SLOW_MB) as served:
        runs = [(side, whole(side, served.fast, release, scratch)) for _ in range(repeats) for side in contenders]
        rows = []
        for side in contenders:
            cost = {key: statistics.median(run[key] for who, run in runs if who is side) for key in ("wall_s", "cpu_s")}
            again = {} if "sha256sum" in side.name else killed_and_again(side, served, release, scratch, size)
            rows.append({"side": side.name, "mb": size / 1e6, **cost, **again})
        with _emptied(scratch / "copy") as folder:
            before = served.bytes_sent()
            some = timed([*contenders[0].command(served.fast, folder), "--columns", *_COLUMNS], scratch)
            part = served.bytes_sent() - before
    rows.append({"side": f"webpairs pull --columns {' '.join(_COLUMNS)}", "mb": part / 1e6, **some})
    return result("pull", _figures(rows, size), rows, versions=_versions())


def _figures(rows: list[dict[str, float]], size: int) -> list[Figure]:
    ours, library, _curl, verified, _wget, columns = rows
    return [
        Figure(
            key="wall_ratio_to_huggingface_hub",
            value=library["wall_s"] / ours["wall_s"],
            meaning="how many times as long huggingface_hub takes for the same files, which it does not hash (higher is better)",
        ),
        Figure(
            key="cpu_ratio_to_huggingface_hub",
            value=library["cpu_s"] / ours["cpu_s"],
            meaning="how many times as many CPU seconds it takes, start-up included (higher is better)",
        ),
        Figure(
            key="cpu_ratio_to_curl_and_sha256sum",
            value=verified["cpu_s"] / ours["cpu_s"],
            meaning="the same of curl --parallel and then sha256sum -c (higher is better)",
        ),
        Figure(
            key="sent_twice_share",
            value=ours["sent_twice_mb"] * 1e6 / size,
            meaning="share of the release that was sent twice because the first run was killed with -9 (lower is better)",
        ),
        Figure(
            key="columns_bytes_share",
            value=columns["mb"] * 1e6 / size,
            meaning=f"share of the release's bytes that was sent for uid, {', '.join(_COLUMNS)} (lower is better)",
        ),
    ]


def _versions() -> dict[str, str]:
    found = versions("webpairs", "urllib3", "tenacity", "pyarrow", "huggingface_hub")
    for program in ("curl", "wget"):
        told = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.split()
        found[program] = told[1] if program == "curl" else told[2]
    return found


def main() -> None:
    """Measure and write bench/results/pull.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=_FILES)
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()
    CACHE.mkdir(exist_ok=True)
    with TemporaryDirectory(prefix="pull-", dir=CACHE) as scratch:
        found = measure(arguments.files, arguments.repeats, Path(scratch))
    finish(found, whole=arguments.files >= _FILES and arguments.repeats >= 2)


if __name__ == "__main__":
    main()
