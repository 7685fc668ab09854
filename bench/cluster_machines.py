"""A Spark standalone cluster on this machine: a Master and Workers, real processes, up in a `with` block and gone after it.

In: a folder, the machines (loopback addresses, or the network namespaces of bench.cluster_network), the code as a zip. Out: a
`Cluster`, which submits scripts to it by spark-submit and knows the processes that it runs on. Every process of it carries a mark
in its environment, children and their children too: what bears the mark when the block ends is killed, whoever started it.
"""

import re
import secrets
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import orjson
import pyspark

from bench.cluster_processes import MARK, clean_environment, end_marked, marked, read_of, start_apart, wait_for
from bench.places import REPOSITORY

SPARK_HOME = Path(pyspark.__file__).parent
CODE = REPOSITORY / "dist" / "webpairs.zip"
_EXECUTOR = b"CoarseGrainedExecutorBackend"
_DAEMON_MEMORY = "256m"


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where processes can be put: an address, the words before a command that run it there, what they find there."""

    name: str
    address: str
    enter: tuple[str, ...] = ()  # ("ip", "netns", "exec", …): the command that follows runs on the machine
    spark_home: Path = SPARK_HOME


@dataclass(frozen=True, kw_only=True)
class Network:
    """The machine of the driver, the Master and the servers, and those of the Workers."""

    head: Machine
    machines: tuple[Machine, ...]


def loopback(workers: int = 2) -> Network:
    """127.0.0.1 for driver and servers, an address of its own in 127.0.0.0/8 for every Worker: hosts differ as on a cluster."""
    named = tuple(Machine(name=f"worker{i}", address=f"127.0.0.{10 + i}") for i in range(workers))
    return Network(head=Machine(name="head", address="127.0.0.1"), machines=named)


@dataclass(frozen=True, kw_only=True)
class Worker:
    """A Worker process; its executors write below `folder`, as its machine sees it."""

    machine: Machine
    process: subprocess.Popen[bytes]
    folder: Path
    mark: str

    @property
    def pid(self) -> int:
        """Of the process that was started here, which may be the one that enters the machine."""
        return self.process.pid

    def executors(self) -> list[int]:
        """Process ids of the executors on this Worker, as seen from outside of it."""
        return [pid for pid in marked(self.mark) if _EXECUTOR in read_of(pid, "cmdline")]

    def processes(self) -> list[int]:
        """Everything that runs on this machine: Worker, executors, Python workers."""
        return marked(self.mark)

    def kill(self) -> None:
        """Like pulling the plug: SIGKILL to all that runs there."""
        end_marked(self.mark)
        self.process.wait()


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A cluster that runs, and how to submit to it."""

    master: str  # spark://…
    ui: str  # http://…: the Master's, whose /json/ says what it knows
    folder: Path
    network: Network
    workers: list[Worker]
    mark: str
    cores: int  # of every Worker, and of an executor
    memory_mb: int  # of an executor's JVM
    code: Path = CODE
    packed: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def submit(
        self, script: Path, *arguments: object, conf: Mapping[str, object] | None = None, timeout_s: float = 600, **more: Any
    ) -> subprocess.CompletedProcess[str]:
        """spark-submit a script and wait for its end. What it printed is in stdout (spark-submit sends both streams there).

        Raises subprocess.TimeoutExpired after `timeout_s`; the driver is dead then. `more`: see `start`.
        """
        with self.start(script, *arguments, conf=conf, **more) as driver:
            try:
                driver.process.wait(timeout_s)
            finally:
                driver.kill()
        return subprocess.CompletedProcess(driver.command, driver.process.returncode, driver.printed(), driver.logged())

    @contextmanager
    def start(
        self,
        script: Path,
        *arguments: object,
        conf: Mapping[str, object] | None = None,
        properties: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Iterator["Driver"]:
        """spark-submit a script in a new empty folder; after the block the driver is dead.

        `properties`: a file of jobs/conf. `environment`: what driver and executors are given besides the cluster's own.
        """
        number = next(self._numbers)
        away = self.folder / f"driver{number}"
        away.mkdir()
        alone = away / script.name  # a copy: beside its packages, a script would need no zip
        shutil.copyfile(script, alone)
        given = {**self.environment, **(environment or {})}
        if properties:
            properties = Path(shutil.copy(properties, away))
        command = [*self.network.head.enter, *self._command(alone, arguments, conf or {}, properties, given)]
        logs = self.folder / f"driver{number}.out", self.folder / f"driver{number}.err"
        mark = f"{self.mark}-driver{number}"
        env = {**self._driver_environment(), **given, MARK: mark}
        with logs[0].open("wb") as out, logs[1].open("wb") as err:
            process = start_apart(command, cwd=away, env=env, stdout=out, stderr=err)
        driver = Driver(process=process, command=command, folder=away, out=logs[0], err=logs[1], mark=mark)
        try:
            yield driver
        finally:
            driver.kill()

    def executors(self) -> list[int]:
        """Process ids of all executors."""
        return [pid for worker in self.workers for pid in worker.executors()]

    def known_workers(self) -> int:
        """How many Workers the Master counts as alive."""
        return int(_state(self.ui)["aliveworkers"])

    def _command(
        self,
        script: Path,
        arguments: Sequence[object],
        conf: Mapping[str, object],
        properties: Path | None,
        given: Mapping[str, str],
    ) -> list[str]:
        settings = {**self._settings(), **{f"spark.executorEnv.{name}": value for name, value in given.items()}, **conf}
        words = [str(SPARK_HOME / "bin" / "spark-submit"), "--master", self.master, "--py-files", str(self.code)]
        if self.packed:
            words += ["--files", str(self.packed)]
        if properties:
            words += ["--properties-file", str(properties)]
        words += [word for name, value in settings.items() for word in ("--conf", f"{name}={value}")]
        return [*words, str(script), *map(str, arguments)]

    def _settings(self) -> dict[str, object]:
        head = self.network.head.address
        return {
            "spark.driver.host": head,
            "spark.driver.bindAddress": head,
            "spark.driver.memory": "512m",
            "spark.executor.cores": self.cores,
            "spark.executor.memory": f"{self.memory_mb}m",
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            "spark.sql.session.timeZone": "UTC",
            "spark.pyspark.python": f"./{self.packed.name}" if self.packed else sys.executable,
            "spark.pyspark.driver.python": self.packed or sys.executable,
        }

    def _driver_environment(self) -> dict[str, str]:
        unpacked = str(self.folder / "home" / ".pex")  # not in the home of whoever runs this
        return {**clean_environment(self.network.head.address), "SPARK_HOME": str(SPARK_HOME), "PEX_ROOT": unpacked}


@dataclass(frozen=True, kw_only=True)
class Driver:
    """A driver that spark-submit started: a JVM and its Python."""

    process: subprocess.Popen[bytes]
    command: list[str]
    folder: Path
    out: Path
    err: Path
    mark: str

    def kill(self) -> None:
        """SIGKILL to the JVM and its Python, if they live."""
        end_marked(self.mark)
        self.process.wait()

    def printed(self) -> str:
        """What the script has printed so far."""
        return self.out.read_text(errors="replace")

    def logged(self) -> str:
        """Spark's log of the driver so far."""
        return self.err.read_text(errors="replace")


@contextmanager
def cluster(
    folder: Path,
    *,
    workers: int = 2,
    cores: int = 1,
    memory_mb: int = 1024,
    network: Network | None = None,
    code: Path = CODE,
    packed: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Cluster]:
    """A Master and a Worker on each machine of `network` (by default `workers` of them on loopback), for the block.

    `cores` and `memory_mb` are a Worker's, and of one executor on it. `code` is the zip for --py-files, `packed` what
    jobs.environment wrote (without: this process's own Python serves). `environment` is given to drivers and executors. Raises
    TimeoutError where a process does not come up; its log is in `folder`.
    """
    network = network or loopback(workers)
    folder.mkdir(parents=True, exist_ok=True)
    mark, daemons = secrets.token_hex(8), list[subprocess.Popen[bytes]]()
    try:
        master, ui, process = _start_master(folder, network.head, mark)
        daemons.append(process)
        started = [_start_worker(folder, machine, master, mark, (cores, memory_mb)) for machine in network.machines]
        daemons += [worker.process for worker in started]
        running = Cluster(
            master=master,
            ui=ui,
            folder=folder,
            network=network,
            workers=started,
            mark=mark,
            cores=cores,
            memory_mb=memory_mb,
            code=code,
            packed=packed,
            environment=environment or {},
        )
        wait_for(lambda: running.known_workers() == len(started), f"{len(started)} workers at {master}; see {folder}/*.log")
        yield running
    finally:
        end_marked(mark)
        for process in daemons:
            process.wait()


def _start_master(folder: Path, machine: Machine, mark: str) -> tuple[str, str, subprocess.Popen[bytes]]:
    log = folder / "master.log"
    words = ("org.apache.spark.deploy.master.Master", "--host", machine.address, "--port", "0", "--webui-port", "0")
    process = _daemon(words, machine, log, f"{mark}-master", folder)
    master = wait_for(lambda: re.search(r"Starting Spark master at (spark://\S+)", log.read_text()), f"a master; see {log}")
    wait_for(lambda: "I have been elected leader" in log.read_text(), f"a master that leads; see {log}")
    ui = wait_for(
        lambda: re.search(r"Bound MasterWebUI to .*started at (http://\S+)", log.read_text()), f"the master's page; see {log}"
    )
    return master[1], ui[1], process


def _start_worker(folder: Path, machine: Machine, master: str, cluster_mark: str, sizes: tuple[int, int]) -> Worker:
    """`sizes`: cores and MB that it offers."""
    own, mark = folder / machine.name, f"{cluster_mark}-{machine.name}"
    own.mkdir(exist_ok=True)
    offer = ("--cores", str(sizes[0]), "--memory", f"{sizes[1]}m")
    places = ("--host", machine.address, "--port", "0", "--webui-port", "0", "--work-dir", str(own / "work"))
    words = ("org.apache.spark.deploy.worker.Worker", *places, *offer, master)
    process = _daemon(words, machine, folder / f"{machine.name}.log", mark, own)
    return Worker(machine=machine, process=process, folder=own, mark=mark)


def _daemon(words: Sequence[str], machine: Machine, log: Path, mark: str, own: Path) -> subprocess.Popen[bytes]:
    """Start one of Spark's daemons on a machine; all that it and its children write goes below `own`."""
    scratch, home = own / "tmp", own / "home"
    for place in (scratch, home):
        place.mkdir(exist_ok=True)
    env = {
        **clean_environment(machine.address),
        "SPARK_HOME": str(machine.spark_home),
        "SPARK_DAEMON_MEMORY": _DAEMON_MEMORY,
        "SPARK_LOCAL_DIRS": str(scratch),
        "TMPDIR": str(scratch),
        "HOME": str(home),
        MARK: mark,
    }
    command = [*machine.enter, str(machine.spark_home / "bin" / "spark-class"), *words]
    with log.open("ab") as out:
        return start_apart(command, cwd=own, env=env, stdout=out, stderr=out)


def _state(ui: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{ui}/json/", timeout=10) as answer:
        state: dict[str, Any] = orjson.loads(answer.read())
    return state
