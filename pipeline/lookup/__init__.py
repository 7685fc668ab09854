"""lookup: a uid, URL or domain → every row of a release that is meant, its provenance, and the subsets it stands in."""

from dataclasses import dataclass
from typing import Literal

from pipeline.options import StageConfig, option


@dataclass(frozen=True, kw_only=True)
class LookupConfig(StageConfig):
    """What is sought, and where."""

    release: str = option("folder or URL of a release", positional=True, metavar="RELEASE")
    sought: str = option(
        "a uid (32 hex digits), a URL of an image or page, or a domain", positional=True, metavar="UID_OR_URL_OR_DOMAIN"
    )
    format: Literal["text", "json"] = option("for people, or a JSON object per row", "text")
    limit: int = option("rows that are shown of a domain; all are counted", 20, metavar="N")


def run(config: LookupConfig, spark: None = None) -> None:
    """Print what is found."""
    from pipeline.lookup.finding import look_up

    look_up(config)


__all__ = ["LookupConfig", "run"]
