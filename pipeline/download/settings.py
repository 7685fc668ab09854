"""Options of the command → what the engine is told: limits, manners, treatment of images, how much at once."""

from dataclasses import dataclass

from pipeline.download.config import DownloadConfig
from pipeline.download.engine import EngineSettings
from pipeline.download.fetching import address
from pipeline.download.fetching.fetch import Manners
from pipeline.download.fetching.transfer import FetchLimits
from pipeline.download.images.image import ImageSettings
from pipeline.removal import Removal


@dataclass(frozen=True, kw_only=True)
class Downloading:
    """What a shard's work needs: the engine's settings, and which columns of the rows say more than url and caption.

    `verify_hash` and `blur_boxes` name columns, "" for none.
    """

    engine: EngineSettings
    samples_per_shard: int
    verify_hash: str = ""
    blur_boxes: str = ""
    retry_failed: bool = False

    @classmethod
    def of(cls, config: DownloadConfig, removal: Removal) -> "Downloading":
        """As the options have it."""
        engine = EngineSettings(
            limits=_limits(config),
            manners=Manners(
                per_host=config.per_host,
                interval_s=config.host_interval_s,
                max_wait_s=config.max_wait_s,
                robots_txt=config.robots_txt,
            ),
            image=_image(config),
            concurrency=config.concurrency,
            decode_threads=config.decode_threads,
            hashes=tuple(dict.fromkeys(("sha256", config.compute_hash))),
            removal=removal,
        )
        return cls(
            engine=engine,
            samples_per_shard=config.samples_per_shard,
            verify_hash=config.verify_hash or "",
            blur_boxes=config.blur_boxes or "",
            retry_failed=config.retry_failed,
        )


def _limits(config: DownloadConfig) -> FetchLimits:
    anywhere = config.allow_private_addresses or config.proxy is not None
    return FetchLimits(
        timeout_s=config.timeout_s,
        max_bytes=config.max_bytes,
        user_agent=config.user_agent if config.contact is None else f"{config.user_agent} (+{config.contact})",
        may_connect=address.any_address if anywhere else address.is_public,
        proxy=config.proxy,
        retries=config.retries,
        verify_tls=not config.ignore_tls_errors,
    )


def _image(config: DownloadConfig) -> ImageSettings:
    return ImageSettings(
        size=config.image_size,
        mode=config.resize_mode,
        enlarge=config.enlarge,
        quality=config.encode_quality,
        format=config.encode_format,
        reencode=config.reencode,
        upscale=config.upscale,
        downscale=config.downscale,
        max_pixels=config.max_pixels,
        min_size=config.min_image_size,
        max_area=config.max_image_area,
        max_aspect=config.max_aspect_ratio,
    )
