"""lookup: a uid, URL or domain → every row of a release that is meant, its provenance, and the subsets it stands in."""

from dataclasses import dataclass
from typing import Literal

from pipeline.options import StageConfig, option
from schemas.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class LookupConfig(StageConfig):
    """What is sought, and where."""

    release: str = option("folder or URL of a release", positional=True, metavar="RELEASE")
    sought: str = option(
        "a uid (32 hex digits), a URL of an image or page, or a domain", positional=True, metavar="UID_OR_URL_OR_DOMAIN"
    )
    format: Literal["text", "json"] = option("for people, or all that is found as a JSON object per line", "text")
    limit: int = option("rows that are shown as text; all are counted", 20, metavar="N")
    pages: bool = option(
        "of a URL or domain: also images that stand elsewhere but on its pages (reads the whole column page_url)", False
    )
    copies: bool = option("also the rows that are marked as copies of those found (reads the columns …dup_of)", False)
    save_list: str | None = option(
        "a file for the uids found (and, with --copies, of their copies): a removal list for `revise`", None, metavar="FILE"
    )

    def __post_init__(self) -> None:
        """Raises UsageError for a number of rows below 0."""
        super().__post_init__()
        if self.limit < 0:
            raise UsageError(f"--limit {self.limit}: must be at least 0")


def run(config: LookupConfig, spark: None = None) -> None:
    """Print what is found."""
    from pipeline.lookup.finding import look_up

    look_up(config)


__all__ = ["LookupConfig", "run"]
