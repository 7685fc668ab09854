"""The command `webpairs`: one subcommand per stage, its options derived from the stage's config."""

import argparse
import importlib
import sys
from collections.abc import Sequence
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
    "filter": Command("pipeline.filter", "FilterConfig", "scores → subset: DataComp's baselines, drop-in"),
    "train": Command("pipeline.train", "TrainConfig", "subset → reference model"),
    "evaluate": Command("pipeline.evaluate", "EvaluateConfig", "reference model → zero-shot results"),
    "rank": Command("pipeline.rank", "RankConfig", "results → ranking with intervals"),
    "report": Command("pipeline.report", "ReportConfig", "everything → one HTML file"),
    "demo": Command("pipeline.demo", "DemoConfig", "a small generated web through every stage"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; the exit status: 0 done, 1 failed work, 2 wrong usage."""
    words = with_dashes(sys.argv[1:] if argv is None else argv)
    try:
        return _run(words)
    except UserError as error:
        print(f"webpairs: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("webpairs: interrupted; run the same command again to go on", file=sys.stderr)
        return 130


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
    return finish(module.run(from_arguments(getattr(module, command.config), arguments)), arguments)


def finish(manifest: Any, arguments: Any) -> int:
    """Say what a stage did and what it could not do; the exit status."""
    if manifest is None:
        return 0
    counts = ", ".join(f"{name} {count:,}" for name, count in manifest.counts.items())
    print(f"{manifest.stage}: {counts} → {_where(arguments)}  ({manifest.duration_s:.1f} s)")
    for report in [*manifest.failed_inputs, *manifest.partial_inputs][:10]:
        error = report.error.removeprefix(f"{report.path}: ")
        print(f"webpairs: {report.status}: {report.path}: {error}", file=sys.stderr)
    failed = len(manifest.failed_inputs)
    if failed > arguments.tolerate_failed * max(1, len(manifest.inputs)):
        print(
            f"webpairs: {failed} of {len(manifest.inputs)} inputs failed; run the same command again to retry them",
            file=sys.stderr,
        )
        return 1
    return 0


def _where(arguments: Any) -> str:
    """--out; `filter` keeps DataComp's name for it, `evaluate` writes beside the model where it is told nothing else."""
    return str(getattr(arguments, "out", None) or getattr(arguments, "save_path", None) or arguments.model)


if __name__ == "__main__":
    sys.exit(main())
