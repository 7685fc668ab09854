"""The command `webpairs`: one subcommand per stage, its options derived from the stage's config."""

import argparse
import importlib
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from pipeline.options import add_options, from_arguments, with_dashes
from schemas.errors import UserError


class Command(NamedTuple):
    """Where a subcommand lives. Its module has a config dataclass of that name and `run(config)`."""

    module: str
    config: str
    summary: str


# Named here, imported only when called: `webpairs --help` imports no stage.
COMMANDS = {
    "extract": Command("pipeline.extract", "ExtractConfig", "WAT files → candidates: image links with alt text"),
    "pool": Command("pipeline.pool", "PoolConfig", "candidates → pool: exact dedup, URL validity, opt-out, sample"),
    "download": Command("pipeline.download", "DownloadConfig", "pool → shards: images in WebDataset tars"),
    "score": Command("pipeline.score", "ScoreConfig", "shards → scores: embeddings and CLIP similarity"),
    "dedup": Command("pipeline.dedup", "DedupConfig", "scores → columns: of which earlier pair each is a copy"),
    "decontaminate": Command(
        "pipeline.decontaminate", "DecontaminateConfig", "scores → columns: which pairs are near evaluation images"
    ),
    "measure": Command("pipeline.measure", "MeasureConfig", "scores → a column: a filter's measure, or a head over embeddings"),
    "filter": Command("pipeline.filter", "FilterConfig", "scores → subset: DataComp's baselines, drop-in, and recipes"),
    "compare": Command("pipeline.compare", "CompareConfig", "subsets → what they share"),
    "reshard": Command("pipeline.reshard", "ReshardConfig", "shards + subset → curated shards"),
    "train": Command("pipeline.train", "TrainConfig", "subset → reference model"),
    "evaluate": Command("pipeline.evaluate", "EvaluateConfig", "reference model → zero-shot results"),
    "rank": Command("pipeline.rank", "RankConfig", "results → ranking with intervals"),
    "report": Command("pipeline.report", "ReportConfig", "everything → one HTML file"),
    "release": Command("pipeline.release", "ReleaseConfig", "scores → published metadata: parquet, card, Croissant, checksums"),
    "pull": Command("pipeline.pull", "PullConfig", "a release at a URL → a verified copy here"),
    "revise": Command(
        "pipeline.revise", "ReviseConfig", "a release + removal lists → its next revision, or the proof that none is left"
    ),
    "lookup": Command(
        "pipeline.lookup", "LookupConfig", "a uid, URL or domain → its rows in a release, and the subsets they stand in"
    ),
    "plan": Command("pipeline.plan", "PlanConfig", "sizes → core hours, GPU hours, shuffle, storage, executors"),
    "demo": Command("pipeline.demo", "DemoConfig", "a small generated web through every stage"),
}

# Packages under fsspec's remote file systems, whose own errors say enough.
_STORAGE = {"adlfs", "aiobotocore", "aiohttp", "azure", "botocore", "gcsfs", "google", "s3fs"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; the exit status: 0 done, 1 failed work, 2 wrong usage, 130 interrupted, 143 terminated."""
    words = with_dashes(sys.argv[1:] if argv is None else argv)
    return guarded("webpairs", lambda: _run(words))


def guarded(name: str, command: Callable[[], int]) -> int:
    """The exit status of `command`; whatever it raises becomes one line on stderr, which begins with `name`.

    What no code of ours expected shows where it came from, if the environment variable WEBPAIRS_TRACEBACK is set.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a path may hold what the terminal's encoding does not
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminate)
    try:
        status = command()
        sys.stdout.flush()
        return status
    except UserError as error:
        return _say(name, str(error), error.exit_code)
    except KeyboardInterrupt:
        return _say(name, "interrupted; run the same command again to go on", 130)
    except _Terminated:
        return _say(name, "terminated; run the same command again to go on", 143)
    except BrokenPipeError:  # nobody reads on, as with `| head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains when it flushes at exit
        return 1
    except Exception as error:
        if os.environ.get("WEBPAIRS_TRACEBACK"):
            raise
        return _say(name, _unexpected(error), 1)


class _Terminated(BaseException):
    """SIGTERM came, as when a batch system takes the machine back: ends like an interrupt."""


def _terminate(_signal: int, _frame: Any) -> None:
    raise _Terminated


def _unexpected(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"{error.name}: this Python package is needed and not installed here; install webpairs with it"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {error.strerror}; check that path"
    if any(type(each).__module__.split(".")[0] in _STORAGE for each in (error, error.__cause__)):
        return f"{error}; check the address and the credentials of the object store, or wait until it is well"
    return f"unexpected {type(error).__name__}: {error}; WEBPAIRS_TRACEBACK=1 before the command shows where it came from"


def _say(name: str, text: str, status: int) -> int:
    print(f"{name}: {one_line(text)}", file=sys.stderr)
    return status


def one_line(text: str) -> str:
    """`text` without line breaks, and without what a hostile file name could tell a terminal."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape", "surrogatepass").decode() for sign in text)


def _run(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="webpairs", description="From Common Crawl to a ranked image-text training set.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    wanted = next((word for word in words if word in COMMANDS), None)
    for name, command in COMMANDS.items():
        subparser = commands.add_parser(name, help=command.summary, description=command.summary)
        if name == wanted:
            module = importlib.import_module(command.module)
            add_options(subparser, getattr(module, command.config))
    arguments = parser.parse_args(words)
    command = COMMANDS[arguments.command]
    module = importlib.import_module(command.module)
    config = from_arguments(getattr(module, command.config), arguments)
    return finish(module.run(config), config)


def finish(manifest: Any, config: Any) -> int:
    """Say what a stage did and what it could not do; the exit status."""
    from pipeline.shares import ShareManifest

    if manifest is None:
        return 0
    print(one_line(f"{manifest.stage}: {manifest.summary or 'no rows'} → {_where(config)}  ({manifest.duration_s:.1f} s)"))
    if isinstance(manifest, ShareManifest):
        print(one_line(f"{manifest.stage}: {manifest.note}"))
    for report in [*manifest.failed_inputs, *manifest.partial_inputs][:10]:
        error = report.error.removeprefix(f"{report.path}: ")
        print(one_line(f"webpairs: {report.status}: {report.path}: {error}"), file=sys.stderr)
    failed = len(manifest.failed_inputs)
    if failed > config.tolerate_failed * max(1, len(manifest.inputs)):
        print(
            f"webpairs: {failed} of {len(manifest.inputs)} inputs failed; run the same command again to retry them",
            file=sys.stderr,
        )
        return 1
    return 0


def _where(config: Any) -> str:
    """--out; `filter` and `reshard` keep DataComp's names, `evaluate` writes beside the model where it is told nothing else."""
    return str(
        next(place for name in ("out", "save_path", "output_dir", "model", "release") if (place := getattr(config, name, None)))
    )


if __name__ == "__main__":
    sys.exit(main())
