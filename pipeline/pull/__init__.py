"""pull: a release at a URL → a local copy of it, or of some of its files or columns; resumed, verified."""

from dataclasses import dataclass

from pipeline.manifest import Manifest
from pipeline.options import StageConfig, option


@dataclass(frozen=True, kw_only=True)
class PullConfig(StageConfig):
    """What is downloaded, from where, and how much at a time."""

    url: str = option("address of a release: https://…, s3://…, hf://datasets/NAME, or a folder", positional=True, metavar="URL")
    out: str = option("folder for the copy", positional=True, metavar="DIR")
    files: tuple[str, ...] = option(
        "only these, by name or glob (data/0000*.parquet, subsets/*); the description and checksums always", (), metavar="GLOB"
    )
    columns: tuple[str, ...] = option("only these columns of the parquet files, uid always", (), metavar="NAME")
    revision: str = option("of a hub: the revision (branch, tag or commit) to take", "main", metavar="REV")
    attempts: int = option("how often a file is tried before it counts as failed", 8, metavar="N", affects_output=False)
    timeout_s: float = option("longest silence of the server", 30.0, metavar="S", affects_output=False)


def run(config: PullConfig, spark: None = None) -> Manifest:
    """Download what is not there yet; every file is verified before it gets its name."""
    from pipeline.pull.pulling import pull

    return pull(config)


__all__ = ["PullConfig", "run"]
