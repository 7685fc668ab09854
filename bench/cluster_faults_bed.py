"""What fault drills stand on: a small web, a store, a cluster, stages done once undisturbed; is an output the same?

In: a folder. Out: a `Bed`, which submits a stage to a place of its own and says how that place differs from the undisturbed one.
"""

import hashlib
import io as memory
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import orjson
import pyarrow.parquet as pq

from bench.cluster_machines import Cluster, Driver, cluster
from bench.cluster_store import Store, store
from bench.places import REPOSITORY
from jobs.package import write_zip
from pipeline.demo.generate import Sizes, generate
from pipeline.demo.server import ProxyServer, Response
from pipeline.demo.site import Site

BUCKET = "drill"
WATS = 8
STAGES = ("extract", "pool", "download", "score", "dedup", "filter")
_BEFORE = {"pool": "extract", "download": "pool", "score": "download", "dedup": "score", "filter": "score"}
_SIZES = Sizes(pairs=300, wats=WATS, seed_pairs=20, eval_items=20)
_QUICK = {  # half of a job this small is the JVM compiling itself
    f"spark.{side}.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC" for side in ("driver", "executor")
}
_TIMES = ("image_fetched_at", "duration_s", "peak_rss_bytes", "time", "seconds", "start", "end")
_JOB_TIMEOUT_S = 240.0


class DrillError(Exception):
    """A fault had an outcome that it must not have."""


@dataclass
class Pace:
    """How long the web waits before each picture, s: so that a download lasts."""

    delay_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Bed:
    """A cluster with its inputs. Paths in the store: `ref/STAGE` is undisturbed; a drill has `TAG/STAGE`."""

    folder: Path
    store: Store
    cluster: Cluster
    proxy: str
    pace: Pace
    checkpoint: str
    files: Any  # of the store: an fsspec file system
    undisturbed: set[str] = field(default_factory=set)

    def prepare(self, stage: str) -> None:
        """Do a stage, and those before it, once undisturbed and without a cluster, if that has not been done."""
        if stage in self.undisturbed:
            return
        if stage in _BEFORE:
            self.prepare(_BEFORE[stage])
        command = [sys.executable, "-m", "pipeline.cli", stage, *self.words(stage, "ref"), "--workers", "1"]
        env = {**os.environ, **self.store.environment}
        done = subprocess.run(command, cwd=REPOSITORY, env=env, capture_output=True, text=True, check=False)
        require(done.returncode == 0, f"undisturbed `{stage}` ended with {done.returncode}: {done.stderr[-400:]}")
        self.undisturbed.add(stage)
        print(f"  undisturbed {stage}: {done.stdout.splitlines()[-1]}", flush=True)

    def place(self, tag: str, stage: str) -> str:
        """Where the output of a stage goes; `filter` writes a file there."""
        return f"s3://{BUCKET}/{tag}/{stage}"

    def words(self, stage: str, tag: str, reading: str = "ref") -> list[str]:
        """The options of a stage whose output goes to `tag`."""

        def read(before: str) -> str:
            return self.place(reading, before)

        out = self.place(tag, stage)
        model = ["--model", "demo", "--pretrained", self.checkpoint, "--column", "demo", "--precision", "fp32"]
        keep = ["--name", "clip_score", "--arch", "demo", "--fraction", "0.4"]
        return {
            "extract": ["--wat", f"s3://{BUCKET}/wat", "--out", out],
            "pool": ["--candidates", read("extract"), "--out", out, "--partitions", "8"],
            "download": ["--pool", read("pool"), "--out", out, "--proxy", self.proxy, "--samples-per-shard", "32"],
            "score": ["--shards", read("download"), "--out", out, *model, "--batch-size", "8"],
            "dedup": ["--metadata", read("score"), "--out", out, "--clusters", "8", "--floor", "0.5"],
            "filter": [*keep, "--metadata-dir", read("score"), "--save-path", f"{out}/subset.npy"],
        }[stage]

    @contextmanager
    def started(
        self, stage: str, tag: str, *more: str, conf: Mapping[str, object] | None = None, env: Mapping[str, str] | None = None
    ) -> Iterator[Driver]:
        """A stage's job, running; its driver is dead after the block."""
        script = REPOSITORY / "jobs" / f"{stage}.py"
        settings = {**_QUICK, **(conf or {})}
        with self.cluster.start(script, *self.words(stage, tag), *more, conf=settings, environment=env) as driver:
            yield driver

    def finish(self, driver: Driver, timeout_s: float = _JOB_TIMEOUT_S) -> int:
        """Wait for a job; its exit status. Raises DrillError where it hangs."""
        end = time.monotonic() + timeout_s
        while driver.process.poll() is None:
            if time.monotonic() > end:
                raise DrillError(f"hung: no end after {timeout_s:.0f} s: {said(driver)}")
            time.sleep(0.05)
        return int(driver.process.returncode)

    def run(self, stage: str, tag: str, *more: str, conf: Mapping[str, object] | None = None, **env: str) -> tuple[int, str]:
        """Do a stage to the end; the exit status, and its last words."""
        with self.started(stage, tag, *more, conf=conf, env=env) as driver:
            return self.finish(driver), said(driver)

    def complete(self, stage: str, tag: str, **more: Any) -> None:
        """Do a stage to the end, and hold its output beside the undisturbed one."""
        status, words = self.run(stage, tag, **more)
        require(status == 0, f"`{stage}` ended with {status}: {words}")
        self.require_equal(stage, tag)

    def paths(self, tag: str, stage: str) -> list[str]:
        """The objects below a stage's place, hidden ones too, without what comes before it."""
        root = self.place(tag, stage).removeprefix("s3://") + "/"
        return [path.removeprefix(root) for path in self.files.find(root, withdirs=False)]

    def wait(self, driver: Driver, seen: Callable[[], Any], what: str, timeout_s: float = 180) -> Any:
        """What `seen` gives as soon as it is true. Raises DrillError where the job ends before, or nothing comes."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            if found := seen():
                return found
            require(driver.process.poll() is None, f"the job ended before {what}: {said(driver)}")
            time.sleep(0.03)
        raise DrillError(f"no {what} within {timeout_s} s: {said(driver)}")

    def require_equal(self, stage: str, tag: str, *, inputs: bool = True) -> None:
        """Raises DrillError where an output is not the undisturbed one: other rows, other counts, something left behind."""
        left = [path for path in self.paths(tag, stage) if "_tmp." in path or path.endswith(".chosen") or "_needed" in path]
        require(not left, f"left behind: {left[:4]}")
        expected, found = self._contents("ref", stage), self._contents(tag, stage)
        require(set(expected) == set(found), f"files differ: {sorted(set(expected) ^ set(found))[:6]}")
        different = [name for name in expected if expected[name] != found[name]]
        require(not different, f"contents differ: {different[:6]}")
        if stage != "filter" and inputs:
            ours, theirs = self.manifest(tag, stage), self.manifest("ref", stage)
            require(ours["counts"] == theirs["counts"], f"counts differ: {ours['counts']} and {theirs['counts']}")
            require(_states(ours) == _states(theirs), f"inputs differ: {_states(ours)}")

    def manifest(self, tag: str, stage: str) -> dict[str, Any]:
        """A stage's manifest."""
        found: dict[str, Any] = orjson.loads(self.files.cat_file(f"{BUCKET}/{tag}/{stage}/_manifest.json"))
        return found

    def _contents(self, tag: str, stage: str) -> dict[str, str]:
        names = [name for name in self.paths(tag, stage) if not any(word.startswith(("_", ".")) for word in name.split("/"))]
        root = self.place(tag, stage).removeprefix("s3://")
        return {name: digest(name, self.files.cat_file(f"{root}/{name}")) for name in names}


def require(condition: object, what: str) -> None:
    """Raises DrillError with `what` where the condition does not hold."""
    if not condition:
        raise DrillError(what)


@contextmanager
def lasting(bed: Bed, stage: str, tag: str) -> Iterator[None]:
    """Tasks of the block take a second or more: what they write to `tag` goes slowly, what they fetch comes slowly.

    Of stages that write at the end only, what they read comes slowly.
    """
    if stage in ("dedup", "filter"):
        bed.store.fault("slow", holds="/ref/score/", method="GET", delay_s=0.4)
    else:
        bed.store.fault("slow", holds=f"/{tag}/", method="PUT", delay_s=0.4)
        bed.pace.delay_s = 0.02
    try:
        yield
    finally:
        bed.store.clear()
        bed.pace.delay_s = 0


def ended(driver: Driver) -> bool:
    """Whether a task of the job has come to its end."""
    return "Finished task" in driver.logged()


def said(driver: Driver) -> str:
    """The last line that a job's own code printed, or the last of its log."""
    for text in (driver.printed(), driver.logged()):
        lines = [line for line in text.splitlines() if line.startswith(("webpairs", *(f"{stage}:" for stage in STAGES)))]
        if lines:
            return lines[-1][:400]
    return (driver.printed() + driver.logged())[-400:]


def digest(name: str, data: bytes) -> str:
    """A hash of what a file says, without when it was made: rows, arrays, the members of a tar."""
    if name.endswith(".parquet"):
        table = pq.read_table(memory.BytesIO(data))
        kept = [column for column in table.column_names if column not in _TIMES]
        data = repr((kept, table.select(kept).to_pylist())).encode()
    elif name.endswith(".npz"):
        with np.load(memory.BytesIO(data)) as arrays:
            data = b"".join(key.encode() + arrays[key].tobytes() for key in sorted(arrays))
    elif name.endswith(".tar"):
        with tarfile.open(fileobj=memory.BytesIO(data)) as tar:
            data = b"".join(member.name.encode() + _timeless(member.name, tar.extractfile(member)) for member in tar)
    elif name.endswith(".json"):
        data = b""  # times
    return hashlib.sha256(data).hexdigest()


def _timeless(name: str, file: IO[bytes] | None) -> bytes:
    data = file.read() if file else b""
    if not name.endswith(".json"):
        return data
    return orjson.dumps({key: value for key, value in orjson.loads(data).items() if key not in _TIMES})


def _states(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    return sorted((report["path"].rsplit("/", 1)[-1], report["status"]) for report in manifest["inputs"])


@contextmanager
def bed(folder: Path, network: Any = None) -> Iterator[Bed]:
    """All of it for a block: two Workers with a core each."""
    folder.mkdir(parents=True, exist_ok=True)
    web = generate(str(folder / "web"), _SIZES)
    code = folder / "webpairs.zip"
    write_zip(code)
    checkpoint, pace = _random_weights(folder / "weights.pt"), Pace()
    with store(folder / "store") as objects, Site(web.site) as site, ProxyServer(_slowed(site.lookup, pace)) as server:
        files = _files(objects)
        files.mkdir(BUCKET)
        files.put(sorted(str(path) for path in Path(web.wat).glob("*.wat.gz")), f"{BUCKET}/wat/")
        cache = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))  # the scanner's compiled code lies there
        environment = {**objects.environment, "XDG_CACHE_HOME": cache, "OMP_NUM_THREADS": "1"}
        with cluster(folder / "cluster", code=code, environment=environment, network=network) as machines:
            made = Bed(
                folder=folder,
                store=objects,
                cluster=machines,
                proxy=server.proxy_url,
                pace=pace,
                checkpoint=checkpoint,
                files=files,
            )
            yield made


def _files(objects: Store) -> Any:
    import fsspec

    given = {"key": "key", "secret": "secret", "endpoint_url": objects.url}
    return fsspec.filesystem("s3", use_listings_cache=False, skip_instance_cache=True, **given)


def _slowed(lookup: Callable[[str], Response | None], pace: Pace) -> Callable[[str], Response | None]:
    def answer(url: str) -> Response | None:
        time.sleep(pace.delay_s)
        return lookup(url)

    return answer


def _random_weights(path: Path) -> str:
    """A checkpoint of the model `demo`, untrained."""
    import torch

    from pipeline.clip import load_clip

    torch.manual_seed(0)
    torch.save(load_clip("demo", None).model.state_dict(), path)
    return str(path)
