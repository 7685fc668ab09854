"""download on 50,000 URLs of which every fifth fails, in every way there is: it ends by itself, accounts for each, leaks nothing.

`python -m bench.soak_download` prints what became of which kind of URL, memory and open files over time, and what was not as
it should be; its exit status is the number of such findings.
"""

import argparse
import hashlib
import os
import socket
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq

from bench.download_corpus import folder_of, specimens
from bench.measure import table
from bench.nginx import HOSTS, Server, nginx
from bench.places import CACHE, REPOSITORY
from bench.soak_server import ANSWERS, hostile_server
from bench.tree import memory_mb, processes_of

GOOD, REFUSED, DNS, TLS_TO_PLAIN = "good", "refused", "no such host", "TLS to a plain port"
KINDS = (*ANSWERS, REFUSED, DNS, TLS_TO_PLAIN)
_GOOD_OF_FIVE = 4
_HOSTS_PER_KIND = 40
_SMALL_PX = 400
_ROWS_PER_SHARD = 2500
_EVERY_S = 0.5
# Short enough that silence and endless bodies do not decide how long the run takes.
_OPTIONS = ("--timeout-s", "3", "--max-bytes", "4000000", "--workers", "2", "--allow-private-addresses")
_GROWTH, _GROWTH_MB, _GROWTH_FDS = 1.15, 30, 30  # of the last quarter over the second: more than noise is a leak


@dataclass(frozen=True, kw_only=True)
class Look:
    """One look at the command: when, shards done, memory of all its processes, fds and sockets of the process with most."""

    at_s: float
    shards: int
    pss_mb: float
    fds: int
    sockets: int


def main() -> None:
    """Run it, tell and judge."""
    asked = _options().parse_args()
    folder = folder_of("laion")
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(TemporaryDirectory(dir=CACHE, prefix="soak-")))
        server, hostile, closed = (stack.enter_context(one) for one in (nginx(folder), hostile_server(), _closed_port()))
        kinds = _write_pool(scratch / "pool", asked.urls, server, hostile, closed)
        print(f"{asked.urls:,} URLs of {len(KINDS) + 1} kinds; at most {asked.limit_s} s", flush=True)
        status, looks = _watched(scratch, asked.limit_s)
        rows = _rows(scratch / "out")
        print(_outcomes(kinds, rows), _over_time(looks), sep="\n\n", flush=True)
        print(f"\nexit status {status} after {looks[-1].at_s:.0f} s; {(scratch / 'log').read_text()[-400:]}")
    found = findings(status, kinds, rows, looks)
    print("\n".join(found) or "nothing found")
    sys.exit(len(found))


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.soak_download", description=__doc__, allow_abbrev=False)
    parser.add_argument("--urls", type=int, default=50_000, help="how many (50000)")
    parser.add_argument("--limit-s", type=int, default=3600, help="when it counts as hanging (3600)")
    return parser


def findings(status: int | None, kinds: dict[str, str], rows: Sequence[tuple[str, str]], looks: Sequence[Look]) -> list[str]:
    """What is wrong with a run. `kinds` by URL, `rows` (URL, outcome) of all sidecars, `status` None where it had to be ended."""
    found = [] if status in (0, 1) else [f"exit status {status}" if status is not None else "it did not end by itself"]
    times = Counter(url for url, _ in rows)
    found += [f"{len(kinds) - len(times)} URLs in no row"] if len(times) < len(kinds) else []
    found += [f"{url}: in {n} rows" for url, n in times.items() if n > 1][:5]
    found += [f"{url}: {kinds[url]}, but {outcome}" for url, outcome in rows if (kinds[url] == GOOD) != (outcome == "success")][
        :5
    ]
    second, last = (_quarter(looks, number) for number in (2, 4))
    pss = [median(look.pss_mb for look in part) for part in (second, last)]
    fds = [max(look.fds for look in part) for part in (second, last)]
    found += [f"memory grows: {pss[0]:.0f} to {pss[1]:.0f} MB"] if pss[1] > _GROWTH * pss[0] + _GROWTH_MB else []
    found += [f"open files grow: {fds[0]} to {fds[1]}"] if fds[1] > _GROWTH * fds[0] + _GROWTH_FDS else []
    return found


def _quarter(looks: Sequence[Look], number: int) -> list[Look]:
    """The looks of a quarter of the time, 1 to 4."""
    end = looks[-1].at_s
    part = [look for look in looks if (number - 1) * end / 4 <= look.at_s <= number * end / 4]
    return part or [looks[-1]]


def _write_pool(folder: Path, count: int, server: Server, hostile: int, closed: int) -> dict[str, str]:
    """Write the pool; the kind of each URL."""
    folder.mkdir()
    small = [file for file in specimens("laion") if max(file.width, file.height) <= _SMALL_PX]
    kinds = {}
    for number in range(count):
        failing, turn = divmod(number, _GOOD_OF_FIVE + 1)
        if turn < _GOOD_OF_FIVE:
            kinds[f"{server.origin('http', number * 7919 % HOSTS)}/{small[number % len(small)].name}?n={number}"] = GOOD
        else:
            kind = KINDS[failing % len(KINDS)]
            kinds[_bad_url(kind, failing // len(KINDS), hostile, closed)] = kind
    uids = [hashlib.md5(url.encode(), usedforsecurity=False).hexdigest() for url in kinds]
    columns = {"uid": uids, "url": list(kinds), "text": [f"a picture, {kind}" for kind in kinds.values()]}
    pq.write_table(pa.table(columns), folder / "part-00000.parquet")
    return kinds


def _bad_url(kind: str, number: int, hostile: int, closed: int) -> str:
    """The hosts of a kind are its own: what one of them does is not held against another."""
    host = f"127.{1 + KINDS.index(kind)}.0.{1 + number % _HOSTS_PER_KIND}"
    match kind:
        case "refused":
            return f"http://{host}:{closed}/{number}.jpg"
        case "no such host":
            return f"http://host{number}.invalid/{number}.jpg"
        case "TLS to a plain port":
            return f"https://{host}:{hostile}/404/{number}.jpg"
        case _:
            return f"http://{host}:{hostile}/{kind.replace(' ', '%20')}/{number}.jpg"


@contextmanager
def _closed_port() -> Iterator[int]:
    """A port that is taken and at which nobody listens."""
    with socket.socket() as held:
        held.bind(("0.0.0.0", 0))
        yield held.getsockname()[1]


def _watched(scratch: Path, limit_s: int) -> tuple[int | None, list[Look]]:
    """Run the command; its exit status, None where it had to be ended, and what was seen meanwhile."""
    words = ["--pool", str(scratch / "pool"), "--out", str(scratch / "out"), "--samples-per-shard", str(_ROWS_PER_SHARD)]
    command = [sys.executable, "-m", "pipeline.cli", "download", *words, *_OPTIONS]
    looks, started = [], time.monotonic()
    with (scratch / "log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=REPOSITORY, stdout=log, stderr=log, start_new_session=True, env={**os.environ, "no_proxy": "*"}
        )
        try:
            while process.poll() is None and time.monotonic() - started < limit_s:
                looks.append(_look(process.pid, scratch / "out", time.monotonic() - started))
                time.sleep(_EVERY_S)
            status = process.poll()
        finally:
            for pid, _ in processes_of(process.pid):
                os.kill(int(pid), 9)
            process.wait()
    return status, looks


def _look(session: int, out: Path, at_s: float) -> Look:
    pids = [pid for pid, _ in processes_of(session)]
    held = [_open_files(pid) for pid in pids]
    return Look(
        at_s=at_s,
        shards=len(list(out.glob("*.tar"))),
        pss_mb=sum(memory_mb(pid)[0] for pid in pids),
        fds=max((fds for fds, _ in held), default=0),
        sockets=max((sockets for _, sockets in held), default=0),
    )


def _open_files(pid: str) -> tuple[int, int]:
    """How many file descriptors a process has, and how many of them are sockets."""
    targets = []
    with suppress(OSError):  # the process has ended meanwhile
        for fd in Path("/proc", pid, "fd").iterdir():
            with suppress(OSError):  # closed meanwhile
                targets.append(str(fd.readlink()))
    return len(targets), sum(target.startswith("socket:") for target in targets)


def _rows(out: Path) -> list[tuple[str, str]]:
    """URL and outcome of every row of the sidecars."""
    rows = []
    for path in sorted(out.glob("*.parquet")):
        held = pq.read_table(path, columns=["url", "status", "error_message"]).to_pylist()
        rows += [(row["url"], row["error_message"] or row["status"]) for row in held]
    return rows


def _outcomes(kinds: dict[str, str], rows: Sequence[tuple[str, str]]) -> str:
    """The outcomes of each kind of URL, as a table."""
    by_kind: dict[str, Counter[str]] = defaultdict(Counter)
    for url, outcome in rows:
        by_kind[kinds[url]][outcome] += 1
    return table(
        [
            {
                "URL": kind,
                "rows": by_kind[kind].total(),
                "outcomes": ", ".join(f"{what} {n:,}" for what, n in by_kind[kind].most_common()),
            }
            for kind in (GOOD, *KINDS)
        ]
    )


def _over_time(looks: Sequence[Look]) -> str:
    """Memory and open files by quarter of the run, and at the end of each shard, as two tables."""
    quarters = [(number, _quarter(looks, number)) for number in (1, 2, 3, 4)]
    by_quarter = [
        {
            "% of the run": 25 * number,
            "median PSS MB": median(look.pss_mb for look in part),
            "most PSS MB": max(look.pss_mb for look in part),
            "most fds": max(look.fds for look in part),
            "most sockets": max(look.sockets for look in part),
        }
        for number, part in quarters
    ]
    ends = [after for before, after in pairwise(looks) if after.shards > before.shards]
    at_ends = [
        {"shards done": look.shards, "s": look.at_s, "PSS MB": look.pss_mb, "fds": look.fds, "sockets": look.sockets}
        for look in ends
    ]
    return table(by_quarter) + "\n\n" + table(at_ends)


if __name__ == "__main__":
    main()
