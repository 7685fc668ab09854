"""pull: a release at a URL → a local copy of it, or of some of its files or columns; resumed, verified."""

import re
from dataclasses import dataclass

from pipeline.manifest import Manifest
from pipeline.options import StageConfig, option
from schemas.errors import UsageError

_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class PullConfig(StageConfig):
    """What is downloaded, from where, and how much at a time."""

    workers: int = option("files that are downloaded at the same time", 8, affects_output=False)
    tolerate_failed: float = 0.0  # no option: a copy with holes is none
    url: str = option("address of a release: https://…, s3://…, hf://datasets/NAME, or a folder", positional=True, metavar="URL")
    out: str = option("folder for the copy", positional=True, metavar="DIR")
    files: tuple[str, ...] = option(
        "only these, by name or glob (data/0000*.parquet, subsets/*); the description and checksums always", (), metavar="GLOB"
    )
    columns: tuple[str, ...] = option("only these columns of the parquet files, uid always", (), metavar="NAME")
    revision: str = option("of a hub: the revision (branch, tag or commit) to take", "main", metavar="REV")
    sums_sha256: str | None = option(
        "what the source's SHA256SUMS must hash to, as its publisher says it; nothing is taken from a source where it does not",
        None,
        metavar="HEX",
    )
    attempts: int = option("how often a file is tried before it counts as failed", 8, metavar="N", affects_output=False)
    timeout_s: float = option("longest silence of the server", 30.0, metavar="S", affects_output=False)
    wait_s: float = option(
        "wait before the second try; each further one waits twice as long, up to 30 s", 0.5, metavar="S", affects_output=False
    )
    max_file_gb: float = option("a file that turns out larger counts as failed", 256.0, metavar="GB", affects_output=False)

    def __post_init__(self) -> None:
        """Raises UsageError naming the first option that is out of bounds."""
        super().__post_init__()
        if self.attempts < 1:
            raise UsageError(f"--attempts {self.attempts}: must be at least 1")
        for name, value in (("timeout-s", self.timeout_s), ("max-file-gb", self.max_file_gb)):
            if value <= 0:
                raise UsageError(f"--{name} {value}: must be above 0")
        if self.wait_s < 0:
            raise UsageError(f"--wait-s {self.wait_s}: must be at least 0")
        if self.sums_sha256 is not None and not _SHA256.fullmatch(self.sums_sha256.lower()):
            raise UsageError(f"--sums-sha256 {self.sums_sha256}: must be 64 hex digits")


def run(config: PullConfig, spark: None = None) -> Manifest:
    """Download what is not there yet; every file is verified before it gets its name."""
    from pipeline.pull.pulling import pull

    return pull(config)


__all__ = ["PullConfig", "run"]
