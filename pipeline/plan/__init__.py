"""plan: sizes → what each stage costs: core hours, GPU hours, shuffle, storage, and the executors to ask for."""

from dataclasses import dataclass
from typing import Literal

from pipeline.options import StageConfig, option
from schemas.errors import UsageError

_MOST = 1e15  # rows or files: far above any crawl, far below where a float skips whole numbers
MODELS = ("b32", "b16", "l14", "h14")
_SHARES = ("pool_share", "success", "https", "subset", "utilisation", "busy")


@dataclass(frozen=True, kw_only=True)
class PlanConfig(StageConfig):
    """How large the crawl or pool is, and what is assumed of everything that no benchmark of ours can tell."""

    wats: float | None = option("WAT files to read (a crawl has about 90,000): the plan begins with extract", None, metavar="N")
    pairs: float | None = option(
        "pairs in the pool to download (1e9, 12.8e9); without --wats the plan begins with download", None, metavar="N"
    )
    candidates_per_wat: float = option("image links with alt text that a WAT has (assumed)", 25_000.0, metavar="N")
    wat_mb: float = option("size of a WAT as it is read, compressed, 10^6 bytes (assumed)", 330.0, metavar="MB")
    pool_share: float = option(
        "share of candidates that the pool keeps, where --pairs does not say it (assumed)", 0.7, metavar="F"
    )
    success: float = option("share of URLs that still show a picture (assumed; the older the crawl, the fewer)", 0.7, metavar="F")
    https: float = option("share of URLs that are https (assumed)", 0.95, metavar="F")
    pictures: Literal["laion", "dense"] = option(
        "what is served: laion (74 % at most 512 px, 58 kB) or dense (long side about 800 px, 149 kB)", "laion"
    )
    image_size: int = option("download's --image-size, px: 224 to 768 were measured", 512, metavar="PX")
    samples_per_shard: int = option("download's --samples-per-shard", 10_000, metavar="N")
    models: tuple[str, ...] = option(f"CLIP models that score the pairs: {', '.join(MODELS)}", ("b32", "l14"), metavar="NAME")
    gpu: Literal["a100", "h100", "h200", "l4", "l40s"] = option("the GPU that scores", "h100")
    utilisation: float = option("share of the GPU's stated peak that models reach (assumed)", 0.4, metavar="F")
    cores_per_gpu: int = option("cores that decode for a GPU", 8, metavar="N")
    subset: float = option("share of the scored pairs that the filter keeps", 0.3, metavar="F")
    cores: int = option("cores of an executor without a GPU", 4, metavar="N")
    hours: float = option("hours that each stage may take", 24.0, metavar="H")
    busy: float = option("share of the cores' time that is work: what waits and idles is the rest (assumed)", 0.8, metavar="F")
    format: Literal["text", "json", "markdown"] = option("how the plan is printed", "text")

    def __post_init__(self) -> None:
        """Raises UsageError naming the first option that is out of bounds."""
        super().__post_init__()
        if self.wats is None and self.pairs is None:
            raise UsageError("plan: give --wats (a crawl), --pairs (a pool) or both")
        for name in ("wats", "pairs", "candidates_per_wat"):
            _within(name, getattr(self, name), 1, _MOST)
        for name in _SHARES:
            _within(name, getattr(self, name), 0 if name == "https" else 1e-6, 1)
        _within("wat_mb", self.wat_mb, 0.001, 1e6)
        _within("image_size", self.image_size, 224, 768)
        _within("samples_per_shard", self.samples_per_shard, 1, 10**7)
        _within("cores_per_gpu", self.cores_per_gpu, 1, 512)
        _within("cores", self.cores, 1, 512)
        _within("hours", self.hours, 0.01, 1e6)
        if not self.models or set(self.models) - {*MODELS} or len({*self.models}) < len(self.models):
            raise UsageError(f"--models {' '.join(self.models)}: must be one or several of {', '.join(MODELS)}, each once")
        if self.pairs is not None and self.wats is not None and self.pairs > self.wats * self.candidates_per_wat:
            most = self.wats * self.candidates_per_wat
            raise UsageError(
                f"--pairs {self.pairs:g}: {self.wats:g} WATs have {most:g} candidates; give fewer pairs or more WATs"
            )


def _within(name: str, value: float | None, least: float, most: float) -> None:
    if value is not None and not least <= value <= most:
        raise UsageError(f"--{name.replace('_', '-')} {value:g}: must be {least:g} to {most:g}")


def run(config: PlanConfig, spark: None = None) -> None:
    """Print the plan. Nothing is read but the figures in the package, and nothing written."""
    from pipeline.plan.planning import planned
    from pipeline.plan.showing import shown

    print(shown(planned(config), config.format))


__all__ = ["MODELS", "PlanConfig", "run"]
