"""Shares of a stage: what one does of many processes that know nothing of each other and write one folder at the same time.

In: `--share`, or the environment of a launcher (torchrun, a Slurm array, srun). Out: the Share, which takes the parts i::n of a
stage's list, and the account of what it did.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pipeline.manifest import Manifest
from schemas.errors import UsageError

SHARE_HELP = (
    "do every N-th part from the I-th on (0-based), beside processes that do the others; auto: as torchrun or Slurm says; all"
)

Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True)
class Share:
    """Share `index`, from 0, of `count`. Raises UsageError where there is no such share."""

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            last = f"0/{self.count} to {self.count - 1}/{self.count}" if self.count > 0 else "at least 0/1"
            raise UsageError(f"--share {self}: no such share; give {last}")

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def of(self, items: Sequence[Item]) -> Sequence[Item]:
        """The items of this share: neighbours go to different processes, so that none gets all of a stretch of large ones."""
        return items[self.index :: self.count]

    def within(self, outer: "Share") -> "Share":
        """The share that this one is of the whole, being one of the share `outer`."""
        return Share(index=outer.index * self.count + self.index, count=outer.count * self.count)

    @classmethod
    def parse(cls, text: str) -> "Share":
        """The share that a text such as 3/8 names. Raises UsageError."""
        index, slash, count = text.partition("/")
        if not (slash and _is_number(index) and _is_number(count)):
            raise UsageError(f"--share {text}: give I/N with I from 0 to N - 1, such as 0/8, or auto, or all")
        return cls(index=int(index), count=int(count))

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Share | None":
        """The share that a launcher's variables name; None where there is no launcher, or it launched this process only.

        Each job of a Slurm array may launch several processes, by torchrun or by srun: these share what is the job's.
        Raises UsageError for variables that make no sense together.
        """
        inner = _of_torchrun(environment) or _of_srun(environment)
        outer = _of_array(environment)
        return inner.within(outer) if inner and outer else inner or outer


@dataclass(frozen=True, kw_only=True)
class ShareManifest(Manifest):
    """The account of one share, of a folder in which parts are still missing: it is returned, and not written."""

    share: Share
    parts_missing: int  # of all shares' parts, the failed ones of this share among them

    @property
    def note(self) -> str:
        """What the user has to know: what this share did and who writes the manifest."""
        failed = len(self.failed_inputs)
        done = f"share {self.share} done: {len(self.parts)} parts" + (f", {failed} inputs failed" if failed else "")
        missing = f"{self.parts_missing} parts of the folder are missing"
        if failed:
            return f"{done}; {missing}: when all shares have ended, run once with --share all; that also writes the manifest"
        return f"{done}; {missing}: the manifest is written when all shares are done"


def asked_share(text: str, environment: Mapping[str, str]) -> Share | None:
    """The share that `--share` asks for: I/N, `auto` for what the environment says; None for all parts. Raises UsageError."""
    if text == "all":
        return None
    return Share.from_environment(environment) if text == "auto" else Share.parse(text)


def local_rank(environment: Mapping[str, str]) -> int | None:
    """Which of the processes that a launcher started on this machine this one is, from 0; None without a launcher."""
    if _was_torchrun(environment):
        return _number(environment, "LOCAL_RANK")
    return _number(environment, "SLURM_LOCALID") if "SLURM_STEP_NUM_TASKS" in environment else None


def _was_torchrun(environment: Mapping[str, str]) -> bool:
    # Other tools set RANK and WORLD_SIZE=1 in an image's environment.
    return "TORCHELASTIC_RUN_ID" in environment or (environment.get("WORLD_SIZE", "1") != "1" and "RANK" in environment)


def _of_torchrun(environment: Mapping[str, str]) -> Share | None:
    if not _was_torchrun(environment):
        return None
    return _share(_number(environment, "RANK"), _number(environment, "WORLD_SIZE"), "RANK and WORLD_SIZE")


def _of_srun(environment: Mapping[str, str]) -> Share | None:
    """Only srun sets SLURM_STEP_NUM_TASKS: a batch script has SLURM_PROCID=0 and the job's SLURM_NTASKS, and runs once."""
    if "SLURM_STEP_NUM_TASKS" not in environment:
        return None
    index, count = _number(environment, "SLURM_PROCID"), _number(environment, "SLURM_STEP_NUM_TASKS")
    return _share(index, count, "SLURM_PROCID and SLURM_STEP_NUM_TASKS")


def _of_array(environment: Mapping[str, str]) -> Share | None:
    if "SLURM_ARRAY_TASK_ID" not in environment:
        return None
    task, first, count = (_number(environment, f"SLURM_ARRAY_TASK_{name}") for name in ("ID", "MIN", "COUNT"))
    step = _number({"SLURM_ARRAY_TASK_STEP": "1", **environment}, "SLURM_ARRAY_TASK_STEP")
    last = _number({"SLURM_ARRAY_TASK_MAX": str(first + (count - 1) * step), **environment}, "SLURM_ARRAY_TASK_MAX")
    if step < 1 or (last - first) // step + 1 != count or (task - first) % step:
        raise UsageError(
            f"Slurm array of {count} tasks from {first} to {last}, step {step}: not evenly spaced, so that it is not clear which "
            f"share task {task} is; submit --array=0-{count - 1}, or give --share I/N"
        )
    return _share((task - first) // step, count, "SLURM_ARRAY_TASK_ID, _MIN and _COUNT")


def _share(index: int, count: int, named: str) -> Share | None:
    """None for the only one of its kind."""
    if not 0 <= index < count:
        raise UsageError(f"{named}: {index} of {count} is no share; give --share I/N, or --share all")
    return Share(index=index, count=count) if count > 1 else None


def _number(environment: Mapping[str, str], name: str) -> int:
    value = environment.get(name, "")
    if not _is_number(value):
        raise UsageError(f"{name}={value}: a number is expected there; give --share I/N, or --share all")
    return int(value)


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) < 10
