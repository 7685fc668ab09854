"""score on a million pairs in one process of `webpairs score`: it accounts for each, and neither memory nor open files grow.

`python -m bench.soak_score` makes a few shards of small pictures, links them under many names, scores all with a model that costs
nothing, and prints memory and open files by quarter of the run; its exit status is the number of findings.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bench.measure import table
from bench.places import CACHE, REPOSITORY
from bench.score_models import SMALLEST
from bench.score_shards import shards
from bench.score_sides import OFFLINE, ONE_THREAD, webpairs
from bench.tree import memory_mb, processes_of

_PAIRS_PER_SHARD, _DISTINCT = 5000, 4  # as small as a shard is to have many; 4 files of 10 MB on disk
_EVERY_S = 1.0
_GROWTH, _GROWTH_MB, _GROWTH_FDS = 1.10, 30, 10  # of the last quarter over the second: more than noise is a leak


@dataclass(frozen=True, kw_only=True)
class Look:
    """One look at the command: when, parts done, memory of all its processes, processes, open files of them all."""

    at_s: float
    parts: int
    pss_mb: float
    processes: int
    fds: int


def main() -> None:
    """Run it, tell and judge."""
    asked = _options().parse_args()
    with TemporaryDirectory(dir=CACHE, prefix="soak-") as scratch:
        folder, out = Path(scratch, "shards"), Path(scratch, "out")
        pairs = linked(folder, asked.pairs)
        print(f"{pairs:,} pairs in {len(list(folder.glob('*.tar'))):,} shards", flush=True)
        status, looks = _watched(folder, out, Path(scratch, "log"), asked)
        counts = _counts(out)
        took_s = looks[-1].at_s
        print(
            _by_quarter(looks),
            f"\nexit status {status} after {took_s:,.0f} s, {pairs / took_s:,.0f} pairs/s; {counts}",
            flush=True,
        )
        if status:
            print(Path(scratch, "log").read_text()[-2000:])
    found = findings(status, pairs, counts, looks)
    print("\n".join(found) or "nothing found")
    sys.exit(len(found))


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.soak_score", description=__doc__, allow_abbrev=False)
    parser.add_argument("--pairs", type=int, default=1_000_000, help="how many (1000000), rounded up to whole shards")
    parser.add_argument("--limit-s", type=int, default=7200, help="when it counts as hanging (7200)")
    parser.add_argument("more", nargs="*", help="after --: more options for webpairs score")
    return parser


def linked(folder: Path, pairs: int) -> int:
    """A folder in which a few shards stand under so many names that there are at least `pairs` pairs; how many there are."""
    folder.mkdir(parents=True)
    sources = sorted(shards("32", _DISTINCT * _PAIRS_PER_SHARD, _DISTINCT).glob("*.tar"))
    count = -(-pairs // _PAIRS_PER_SHARD)
    for number in range(count):
        source = sources[number % len(sources)]
        for ending in (".tar", ".parquet"):
            os.link(source.with_suffix(ending), folder / f"{number:05d}{ending}")
    return count * _PAIRS_PER_SHARD


def findings(status: int | None, pairs: int, counts: dict[str, int], looks: Sequence[Look]) -> list[str]:
    """What is wrong with a run; `status` None where it had to be ended."""
    found = [] if status == 0 else ["it did not end by itself" if status is None else f"exit status {status}"]
    if counts != {"rows_in": pairs, "rows_out": pairs}:
        found.append(f"of {pairs} pairs: {counts}")
    second, last = (_quarter(looks, number) for number in (2, 4))
    pss = [median(look.pss_mb for look in part) for part in (second, last)]
    fds = [median(look.fds for look in part) for part in (second, last)]
    found += [f"memory grows: {pss[0]:.0f} to {pss[1]:.0f} MB"] if pss[1] > _GROWTH * pss[0] + _GROWTH_MB else []
    found += [f"open files grow: {fds[0]:.0f} to {fds[1]:.0f}"] if fds[1] > _GROWTH * fds[0] + _GROWTH_FDS else []
    return found


def _watched(folder: Path, out: Path, log: Path, asked: argparse.Namespace) -> tuple[int | None, list[Look]]:
    """Run the command; its exit status, None where it had to be ended, and what was seen meanwhile."""
    command = webpairs("ours", *asked.more).command(folder, out, SMALLEST)
    looks, started = [], time.monotonic()
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env={**os.environ, **OFFLINE, **ONE_THREAD},
        )
        try:
            while process.poll() is None and time.monotonic() - started < asked.limit_s:
                looks.append(_look(process.pid, out, time.monotonic() - started))
                time.sleep(_EVERY_S)
            status = process.poll()
        finally:
            for pid, _ in processes_of(process.pid):
                with suppress(ProcessLookupError):
                    os.kill(int(pid), 9)
            process.wait()
    return status, looks


def _look(session: int, out: Path, at_s: float) -> Look:
    pids = [pid for pid, _ in processes_of(session)]
    return Look(
        at_s=at_s,
        parts=len(list((out / "_parts").glob("*.json"))),
        pss_mb=sum(memory_mb(pid)[0] for pid in pids),
        processes=len(pids),
        fds=sum(_open_files(pid) for pid in pids),
    )


def _open_files(pid: str) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:  # it has ended meanwhile
        return 0


def _counts(out: Path) -> dict[str, int]:
    path = out / "_manifest.json"
    counts: dict[str, int] = json.loads(path.read_text())["counts"] if path.is_file() else {}
    return counts


def _quarter(looks: Sequence[Look], number: int) -> list[Look]:
    """The looks of a quarter of the parts, 1 to 4: start-up is no part of them."""
    end = max(1, looks[-1].parts)
    part = [look for look in looks if look.parts and (number - 1) * end / 4 <= look.parts <= number * end / 4]
    return part or [looks[-1]]


def _by_quarter(looks: Sequence[Look]) -> str:
    quarters = [(number, _quarter(looks, number)) for number in (1, 2, 3, 4)]
    return table(
        [
            {
                "% of the shards": 25 * number,
                "s": part[-1].at_s,
                "median PSS MB": median(look.pss_mb for look in part),
                "most PSS MB": max(look.pss_mb for look in part),
                "processes": max(look.processes for look in part),
                "median fds": median(look.fds for look in part),
                "most fds": max(look.fds for look in part),
            }
            for number, part in quarters
        ]
    )


if __name__ == "__main__":
    main()
