"""What `extract` can be told: which WATs, by name or as a sample of a crawl, and where the candidates go."""

import re
from dataclasses import dataclass

from pipeline.extract.compiled.sources import IMAGE_LINK, OG_IMAGE, VIDEO_POSTER
from pipeline.options import StageConfig, option
from schemas.errors import UsageError

COMMON_CRAWL = "https://data.commoncrawl.org"


@dataclass(frozen=True, kw_only=True)
class ExtractConfig(StageConfig):
    """Options of extract. Raises UsageError where they name no WAT, or name WATs in two ways."""

    out: str = option("folder for the candidates, one parquet file per WAT", metavar="DIR")
    wat: tuple[str, ...] = option("WAT files: file, glob, folder or URL", (), metavar="PATH")
    crawl: str | None = option("take WATs of this crawl instead, e.g. CC-MAIN-2024-22", None, metavar="ID")
    wats: int | None = option("with --crawl: how many WATs to draw, without replacement (all where not given)", None, metavar="N")
    seed: int = option("with --crawl: seed of the draw; a smaller N is a subset of a larger one", 0)
    base_url: str = option("with --crawl: where crawl-data/ stands, a URL or a folder", COMMON_CRAWL, metavar="URL")
    og_image: bool = option("also og:image, with og:title (or og:description) as its text", False)
    image_links: bool = option("also links to images, <a href>, with the link's text", False)
    video_posters: bool = option("also <video poster>, with its title (or og:title, og:description) as its text", False)

    def __post_init__(self) -> None:
        """Refuse contradicting options."""
        super().__post_init__()
        if bool(self.wat) == (self.crawl is not None):
            raise UsageError("extract: give either --wat PATH… or --crawl ID")
        if self.crawl is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", self.crawl):
            raise UsageError(f"extract: --crawl {self.crawl!r}: not a crawl's ID; they look like CC-MAIN-2024-22")
        if self.wats is not None and self.crawl is None:
            raise UsageError("extract: --wats goes with --crawl ID; with --wat every named file is read")
        if self.wats is not None and self.wats < 1:
            raise UsageError(f"extract: --wats {self.wats}: must be 1 or more")

    @property
    def wanted(self) -> int:
        """The sources besides <img> as bits of compiled.sources."""
        return OG_IMAGE * self.og_image | IMAGE_LINK * self.image_links | VIDEO_POSTER * self.video_posters
