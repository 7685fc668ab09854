"""What `webpairs download` can be told: its options with their defaults (DataComp's settings) and bounds."""

from dataclasses import dataclass, fields
from typing import Literal

from pipeline.download.fetching.proxy import proxy_address
from pipeline.download.images.modes import Interpolation, ResizeMode, StoredFormat
from pipeline.options import StageConfig, option
from schemas.errors import UsageError

USER_AGENT = "webpairs/0.1 (image-text dataset builder)"
# What img2dataset has no word for.
_OURS_ALONE = ("remove", "compute_hash", "verify_hash", "blur_boxes", "retry_failed", "robots_txt", "host_interval_s", "contact")
# The least and the most that an option may be; what lies above is a slip of the keyboard.
_BOUNDS = {
    "image_size": (1, 65_500),  # JPEG's own limit
    "encode_quality": (0, 100),
    "min_image_size": (0, 65_500),
    "max_image_area": (1, 2**40),
    "max_aspect_ratio": (1, 65_500),
    "per_host": (1, 65_536),
    "host_interval_s": (0, 86_400),
    "max_wait_s": (0, 86_400),
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
    upscale: Interpolation = option("interpolation where an image is enlarged", "lanczos")  # noqa: RUF009 - a Literal
    downscale: Interpolation = option("interpolation where an image is made smaller", "area")  # noqa: RUF009 - a Literal
    encode_format: StoredFormat = option("what images are stored as", "jpg")  # noqa: RUF009 - a Literal
    encode_quality: int = option("quality of JPEG and WebP, 1 to 100; of PNG the compression, 0 to 9", 95, metavar="Q")
    reencode: bool = option("decode and encode every image, small JPEGs that need no change as well", False)
    min_image_size: int = option("shorter side that an image must have as served, px", 0, metavar="PX")
    max_image_area: int | None = option("most pixels that an image may have as served", None, metavar="N")
    max_aspect_ratio: float | None = option("longest ratio of the longer side to the shorter one", None, metavar="F")
    blur_boxes: str | None = option(
        "column of boxes to blur, as face_bboxes in DataComp: [[x0, y0, x1, y1], …], each in 0 to 1", None, metavar="COLUMN"
    )
    compute_hash: Literal["sha256", "sha512", "sha1", "md5"] = option(
        "another hash of the bytes as served, besides sha256", "sha256"
    )
    verify_hash: str | None = option(
        "column of hex hashes (md5, sha1, sha256, sha512) that the bytes as served must have", None, metavar="COLUMN"
    )
    carry: tuple[str, ...] = option(
        "columns of the pool to carry on into json and sidecar, besides those that are always", (), metavar="COLUMN"
    )
    samples_per_shard: int = option("rows of the pool in each shard", 10_000, metavar="N")
    timeout_s: float = option("limit for a whole request, redirects included, s", 10.0, metavar="S")
    retries: int = option("further attempts after a failure that may pass (timeout, dns, 429, 5xx)", 2, metavar="N")
    retry_failed: bool = option(
        "in shards that are done, ask again for what failed in a way that may have passed (see docs/download.md)",
        False,
        affects_output=False,
    )
    per_host: int = option("requests at once to one host, per worker", 8, metavar="N", affects_output=False)
    host_interval_s: float = option(
        "least time between two requests to one host, per worker, s", 0.0, metavar="S", affects_output=False
    )
    max_wait_s: float = option(
        "longest Retry-After that is waited for, s; a host that asks for more is left alone",
        30.0,
        metavar="S",
        affects_output=False,
    )
    robots_txt: bool = option("ask for each site's robots.txt first, and fetch nothing that it disallows", False)
    concurrency: int = option("images in flight per worker", 128, metavar="N", affects_output=False)
    decode_threads: int = option("threads that decode and resize, per worker", 2, metavar="N", affects_output=False)
    max_bytes: int = option("largest body accepted, bytes", 32 * 2**20, metavar="N")
    # Pillow's own bound for what is not yet a decompression bomb.
    max_pixels: int = option("most pixels accepted, read from the header before decoding", 89_478_485, metavar="N")
    ignore_tls_errors: bool = option("accept certificates that cannot be verified", False)
    contact: str | None = option("how site owners reach you: a URL or mail address, told in the User-Agent", None)
    user_agent: str = option(
        "User-Agent header; X-Robots-Tag may address its first word, besides ccbot, img2dataset and webpairs", USER_AGENT
    )

    def __post_init__(self) -> None:
        """Raises UsageError naming the first option that is out of bounds."""
        super().__post_init__()
        for name, (least, most) in _BOUNDS.items():
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise UsageError(f"--{name.replace('_', '-')} {value}: must be {least} to {most}")
        if self.proxy is not None:
            proxy_address(self.proxy)
        if self.encode_format == "png" and self.encode_quality > 9:
            raise UsageError(f"--encode-quality {self.encode_quality}: with --encode-format png it is the compression, 0 to 9")
        if self.engine == "img2dataset":
            self._refuse_what_only_ours_can()
        for name in ("user_agent", "contact"):
            value = getattr(self, name)
            if value is not None and not (value.strip() and value.isprintable() and value.isascii()):
                raise UsageError(f"--{name.replace('_', '-')}: must be printable ASCII on one line, and not blank")

    def _refuse_what_only_ours_can(self) -> None:
        defaults = {field.name: field.default for field in fields(self)}
        for name in _OURS_ALONE:
            if getattr(self, name) != defaults[name]:
                raise UsageError(f"--{name.replace('_', '-')}: img2dataset is not told this; use --engine native")
