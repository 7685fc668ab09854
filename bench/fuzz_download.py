"""Damages pictures of every format at random and has `download` store them: nothing but a sound picture or a named refusal.

Each goes through make_picture as the engine calls it, in a process of its own that has to outlive all of them: bounded time and
memory, no thread, file or memory left over. Every input follows from the seed and its number.
"""

import argparse
import gc
import io
import json
import os
import re
import statistics
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from PIL import Image

from bench.fuzz_images import MUTATIONS
from bench.fuzz_pictures import SECRET, pictures
from bench.fuzz_worker import Answer, Rows, Worker
from bench.places import CACHE
from pipeline.download.images.header import TooComplexError, read_header
from pipeline.download.images.image import BadImageError, ImageSettings, Picture, make_picture, memory_of
from pipeline.download.images.room import Room
from pipeline.download.outcomes import RESIZE_FAILURES

_LIMIT_S, _LIMIT_MB = 20.0, 1600.0
_MORE_THAN_ESTIMATED, _ALLOWED_MB = 1.3, 24.0  # of memory: times the estimate of the header, and so much more
_LEAK_MB = 100.0  # more at the end than after a tenth of the time
_KEPT_OF_A_KIND, _LONGEST_SEARCH_S = 3, 5.0
_MOST_PIXELS = 89_478_485
_USUAL: dict[str, Any] = {"size": 24, "mode": "border", "enlarge": False, "quality": 90, "max_pixels": _MOST_PIXELS}
SETTINGS = tuple(
    ImageSettings(**{**_USUAL, **changed})
    for changed in (
        {},
        {"size": 512, "mode": "no", "max_pixels": 10**6},
        {"size": 512, "mode": "keep_ratio"},
        {"mode": "center_crop", "enlarge": True, "reencode": True, "downscale": "cubic", "max_pixels": 10**6},
        {"mode": "keep_ratio_largest", "format": "png", "quality": 1},
        {"size": 64, "enlarge": True, "format": "webp", "upscale": "nearest", "max_pixels": 10**6},
        {"mode": "keep_ratio_largest", "min_size": 8, "max_area": 10**5, "max_aspect": 3.0},
        {"size": 512, "mode": "no", "format": "png", "quality": 0, "max_pixels": 10**6},
    )
)
_STORED_AS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}
_BOXES: tuple[tuple[tuple[float, ...], ...], ...] = ((), ((0.1, 0.1, 0.5, 0.6),), ((-1, 2, 0.3, 1e9), (0, 0, 1, 1)))
_held_at_first: dict[int, tuple[int, int]] = {}  # process → threads, open files
_BAD_BOXES: tuple[tuple[float, ...], ...] = ((0.1, float("nan"), 0.5, 0.6),)


class Case(NamedTuple):
    """An input: the bytes as served, the number of its settings, the boxes to blur (the last choice is none that may be)."""

    body: bytes
    settings: int
    boxes: int
    how: str

    @property
    def file(self) -> bytes:
        """As the worker gets it."""
        return bytes((self.settings, self.boxes)) + self.body


class Seen:
    """What came of all inputs so far, and the worker's memory by time."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.findings: Counter[str] = Counter()
        self.rss: list[tuple[float, float]] = []  # (s since the beginning, MB)
        self.slowest = (0.0, -1)  # s, number of the input
        self.largest = (0.0, -1)  # MB at its peak, number of the input

    def rss_mb(self, part: float) -> float:
        """The worker's memory at a part of the time: the median of the hundredth before it."""
        if not self.rss:
            return 0.0
        whole = self.rss[-1][0]
        near = [mb for at, mb in self.rss if (part - 0.05) * whole <= at <= part * whole]
        return statistics.median(near or [self.rss[0][1]])


def main() -> int:
    """Fuzz until the time is over; the exit status is 1 where something was found."""
    asked = _options().parse_args()
    asked.keep.mkdir(parents=True, exist_ok=True)
    corpus = list(pictures().values())
    print(f"{len(corpus)} pictures, {len(SETTINGS)} settings", flush=True)
    with TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as scratch:
        seen = _fuzz(asked, corpus, Path(scratch) / "body")
    _report(seen, asked.seed)
    return 1 if seen.findings else 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.fuzz_download", description=__doc__, allow_abbrev=False)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (10)")
    parser.add_argument("--seed", type=int, default=0, help="what all inputs follow from (0)")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="number of the first input, to see one again (0)")
    parser.add_argument("--count", type=int, default=sys.maxsize, metavar="N", help="stop after so many inputs")
    folder = CACHE / "fuzz_download"
    parser.add_argument("--keep", type=Path, default=folder, metavar="FOLDER", help="where findings are written to")
    return parser


def _fuzz(asked: argparse.Namespace, corpus: list[bytes], file: Path) -> Seen:
    seen, number, started = Seen(), asked.first, time.monotonic()
    said = started
    for body in corpus:  # before the worker is forked, so that what libraries load is there, and no input's
        file.write_bytes(Case(body, 0, 0, "").file)
        stored(file)
    with Worker(stored, file, limit_s=_LIMIT_S) as worker:
        while time.monotonic() < started + 60 * asked.minutes and number < asked.first + asked.count:
            case = case_of(asked.seed, number, corpus)
            answer = worker.answer(case.file)
            _note(seen, number, answer, time.monotonic() - started)
            finding = finding_in(answer)
            if finding:
                seen.findings[_kind(finding)] += 1
                if seen.findings[_kind(finding)] <= _KEPT_OF_A_KIND:
                    _keep(asked.keep / f"seed{asked.seed}-{number}", smallest(case, finding, worker), finding)
            number += 1
            if time.monotonic() - said > 30:
                said = time.monotonic()
                print(f"{number - asked.first:,} inputs, {seen.findings.total()} findings, {_extremes(seen)}", flush=True)
    if seen.rss_mb(1.0) > seen.rss_mb(0.1) + _LEAK_MB:
        seen.findings[f"memory grows: {seen.rss_mb(0.1):.0f} MB, then {seen.rss_mb(1.0):.0f} MB"] += 1
    return seen


def case_of(seed: int, number: int, corpus: list[bytes]) -> Case:
    """The input `number` of `seed`: one of the pictures, mutated up to four times."""
    rng = Random(f"{seed} {number}")
    body, how = rng.choice(corpus), []
    for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 3, 4))):
        mutation = rng.choice(MUTATIONS)
        body = mutation(body, rng, corpus) or b"\0"
        how.append(mutation.__name__)
    boxes = rng.choices(range(len(_BOXES) + 1), (16, 2, 1, 1))[0]
    return Case(body, rng.randrange(len(SETTINGS)), boxes, "+".join(how))


def finding_in(answer: Answer) -> str:
    """What is wrong with an answer, "" where nothing is."""
    if answer.error:
        return answer.error
    (row,) = answer.rows
    if row["problem"]:
        return str(row["problem"])
    more_mb = row["peak_mb"] - row["before_mb"]
    allowed_mb = _MORE_THAN_ESTIMATED * row["estimate_mb"] + _ALLOWED_MB
    if more_mb > allowed_mb:
        return f"memory: {more_mb:.0f} MB where {row['estimate_mb']:.0f} MB were estimated ({row['format']})"
    if row["peak_mb"] > _LIMIT_MB:
        return f"memory: {row['peak_mb']:.0f} MB is over {_LIMIT_MB:.0f} MB"
    return ""


def stored(file: Path) -> Rows:
    """One row: what make_picture does with the file, what is wrong with that, and what the process holds then."""
    content = file.read_bytes()
    settings, boxes, body = SETTINGS[content[0]], (*_BOXES, _BAD_BOXES)[content[1]], content[2:]
    estimate, kind = _estimate(body, settings, boxes)
    before_mb = _memory_mb("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    problem = ""
    try:
        made = make_picture(body, settings, boxes=boxes, room=Room())
    except BadImageError as bad:
        outcome = str(bad)
        problem = "" if outcome in RESIZE_FAILURES else f"no known reason: {outcome!r}"
        made = None
    except ValueError as error:
        if boxes is not _BAD_BOXES or "finite" not in str(error):
            raise
        outcome, made = "bad boxes", None
    else:
        outcome = "passed" if made.passed else "stored"
    peak_mb = _memory_mb("VmHWM")
    problem = problem or (problem_of(made, settings) if made else "") or _left_over()
    gc.collect(0)
    row = {"outcome": outcome, "problem": problem, "estimate_mb": estimate / 1e6, "format": kind}
    return [{**row, "before_mb": before_mb, "peak_mb": peak_mb, "rss_mb": _memory_mb("VmRSS")}]


def problem_of(made: Picture, settings: ImageSettings) -> str:
    """What is wrong with a stored picture, "" where nothing is."""
    with Image.open(io.BytesIO(made.data)) as image:
        kept = {"exif", "icc_profile", "xmp", "comment", "photoshop", "mp", "XML:com.adobe.xmp"} & image.info.keys()
        image.load()
        actual, told = (image.size, image.format), ((made.width, made.height), _STORED_AS[settings.format])
    if actual != told:
        return f"is {actual}, told {told}"
    if kept or SECRET in made.data:
        return f"metadata: {sorted(kept) or 'the secret'} survives"
    if not _may_be(image.size, settings) or made.original_width * made.original_height > settings.max_pixels:
        return f"size: {made.width} × {made.height} of {made.original_width} × {made.original_height}, {settings}"
    if made.exif is not None and not isinstance(json.loads(made.exif), dict):
        return "exif is no object"
    return ""


def _may_be(size: tuple[int, int], settings: ImageSettings) -> bool:
    if settings.mode == "no":
        return True
    if settings.enlarge and settings.mode in ("border", "center_crop"):
        return size == (settings.size, settings.size)
    return (min(size) if settings.mode in ("keep_ratio", "center_crop") else max(size)) <= settings.size


def _estimate(body: bytes, settings: ImageSettings, boxes: Any) -> tuple[int, str]:
    """Bytes that making the picture is estimated to take, and the format."""
    try:
        header = read_header(body)
    except TooComplexError:
        return 0, ""
    if header is None or not 0 < header.width * header.height <= settings.max_pixels:
        return 0, ""
    return memory_of(header, settings, boxes), header.format


def _left_over() -> str:
    """Threads and files that this process did not have after its first input."""
    held = len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))
    known = _held_at_first.setdefault(os.getpid(), held)
    return "" if held == known else "left over: {} threads, {} files; {}, {} before".format(*held, *known)


def _memory_mb(name: str) -> float:
    found = re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 / 1e6 if found else 0.0


def smallest(case: Case, finding: str, worker: Worker) -> Case:
    """A case of fewer bytes with the same finding, by leaving out ever shorter pieces."""
    length, ends = len(case.body) // 2, time.monotonic() + _LONGEST_SEARCH_S
    while length:
        at = 0
        while at < len(case.body) and time.monotonic() < ends:
            less = case._replace(body=case.body[:at] + case.body[at + length :])
            if less.body and _kind(finding_in(worker.answer(less.file)) or "-") == _kind(finding):
                case = less
            else:
                at += length
        length //= 2
    return case


def _note(seen: Seen, number: int, answer: Answer, at_s: float) -> None:
    seen.slowest = max(seen.slowest, (answer.took_s, number))
    if answer.rows:
        (row,) = answer.rows
        seen.outcomes[row["outcome"]] += 1
        seen.largest = max(seen.largest, (row["peak_mb"], number))
        seen.rss.append((at_s, row["rss_mb"]))


def _extremes(seen: Seen) -> str:
    (took_s, slow), (peak_mb, large) = seen.slowest, seen.largest
    return f"slowest {took_s:.1f} s (input {slow}), peak RSS {peak_mb:.0f} MB (input {large})"


def _report(seen: Seen, seed: int) -> None:
    for outcome, times in seen.outcomes.most_common():
        print(f"{times:9,} {outcome}")
    for what, times in seen.findings.most_common():
        print(f"{times:9,} × {what}")
    print(f"{_extremes(seen)}; RSS at 10, 50, 100 %: {', '.join(f'{seen.rss_mb(part):.0f}' for part in (0.1, 0.5, 1.0))} MB")
    print(f"seed {seed}: {seen.outcomes.total():,} inputs, {seen.findings.total()} findings")


def _kind(finding: str) -> str:
    """What findings are counted by: which numbers and values they tell of does not matter."""
    return re.sub(r"\d+", "N", finding.strip().splitlines()[-1][:160])


def _keep(path: Path, case: Case, finding: str) -> None:
    path.with_suffix(".body").write_bytes(case.body)
    told = f"{case.how}\n{SETTINGS[case.settings]}\nboxes {case.boxes}\n{finding}\n"
    path.with_suffix(".txt").write_text(told, errors="backslashreplace")
    print(f"{path}.body ({case.how}): {_kind(finding)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
