"""What `webpairs download` can be told: its options with their defaults (DataComp's settings) and bounds."""

from dataclasses import dataclass
from typing import Literal

from pipeline.download.proxy import proxy_address
from pipeline.options import StageConfig, option
from schemas.errors import UsageError

ResizeMode = Literal["keep_ratio_largest", "no", "border", "keep_ratio", "center_crop"]
USER_AGENT = "webpairs/0.1 (image-text dataset builder)"
# The least and the most that an option may be; what lies above is a slip of the keyboard.
_BOUNDS = {
    "image_size": (1, 65_500),  # JPEG's own limit
    "encode_quality": (1, 100),
    "samples_per_shard": (1, 1_000_000),
    "timeout_s": (0.001, 86_400),
    "retries": (0, 100),
    "concurrency": (1, 65_536),
    "decode_threads": (1, 1024),
    "max_bytes": (1, 2**31 - 1),  # a body is held in memory
    "max_pixels": (1, 2**40),
}


@dataclass(frozen=True, kw_only=True)
class DownloadConfig(StageConfig):
    """Options of download."""

    pool: str = option("folder of parquet with uid, url, text: a pool, or foreign metadata", metavar="DIR")
    out: str = option("folder of shards to write", metavar="DIR")
    engine: Literal["native", "img2dataset"] = option(
        "native, or the library img2dataset (an extra; it knows no address, size or pixel limits)", "native"
    )
    proxy: str | None = option(
        "HTTP proxy for every request; it resolves names itself", None, metavar="URL", affects_output=False
    )
    remove: tuple[str, ...] = option(
        "removal lists: text files of hashes of images as served (md5, sha1, sha256), URLs, domains or uids, one per line",
        (),
        metavar="LIST",
    )
    allow_private_addresses: bool = option("fetch from loopback, private and link-local addresses as well", False)
    image_size: int = option("side to resize to, px", 512, metavar="PX")
    resize_mode: ResizeMode = option("which side --image-size is, and what becomes of the rest", "keep_ratio_largest")  # noqa: RUF009 - a Literal
    enlarge: bool = option("resize images that are smaller than --image-size too", False)
    encode_quality: int = option("JPEG quality, 1 to 100", 95, metavar="Q")
    samples_per_shard: int = option("rows of the pool in each shard", 10_000, metavar="N")
    timeout_s: float = option("limit for a whole request, redirects included, s", 10.0, metavar="S")
    retries: int = option("further attempts after a failure that may pass (timeout, dns, 429, 5xx)", 2, metavar="N")
    concurrency: int = option("images in flight per worker", 128, metavar="N", affects_output=False)
    decode_threads: int = option("threads that decode and resize, per worker", 2, metavar="N", affects_output=False)
    max_bytes: int = option("largest body accepted, bytes", 32 * 2**20, metavar="N")
    # Pillow's own bound for what is not yet a decompression bomb.
    max_pixels: int = option("most pixels accepted, read from the header before decoding", 89_478_485, metavar="N")
    user_agent: str = option(
        "User-Agent header; X-Robots-Tag may address its first word, besides ccbot, img2dataset and webpairs", USER_AGENT
    )

    def __post_init__(self) -> None:
        """Raises UsageError naming the first option that is out of bounds."""
        super().__post_init__()
        for name, (least, most) in _BOUNDS.items():
            if not least <= getattr(self, name) <= most:
                raise UsageError(f"--{name.replace('_', '-')} {getattr(self, name)}: must be {least} to {most}")
        if self.proxy is not None:
            proxy_address(self.proxy)
        if self.remove and self.engine == "img2dataset":
            raise UsageError("--remove: img2dataset cannot leave out images by their bytes; use --engine native")
        if not self.user_agent.isprintable() or not self.user_agent.isascii():
            raise UsageError("--user-agent: must be printable ASCII on one line")
