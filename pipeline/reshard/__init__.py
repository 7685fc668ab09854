"""reshard: shards + subset → curated shards. DataComp's resharder, drop-in: a sample as often as its uid is in the subset."""

from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline.manifest import Manifest
from pipeline.options import MOST_WORKERS, StageConfig, option
from schemas.errors import UsageError

_MOST_SHUFFLED = 2**26  # copies; a block's permutation is held in memory, 8 bytes a copy
_MOST_SAMPLES = 10**8


@dataclass(frozen=True, kw_only=True)
class ReshardConfig(StageConfig):
    """What `webpairs reshard` takes: DataComp's options under DataComp's names, then ours."""

    input_dir: str = option(
        "folder (local or URL) of tars in img2dataset's or another WebDataset layout",
        short="-i",
        metavar="DIR",
        affects_output=False,
    )
    output_dir: str = option("folder (local or URL) of curated shards to write", short="-o", metavar="DIR", affects_output=False)
    subset_file: str = option(
        "subset, .npy of dtype u8,u8 or nothing but such uids; a repeated uid is a weight",
        short="-s",
        metavar="FILE.npy",
        affects_output=False,
    )
    num_shards: int | None = option(
        "how many shard numbers to process, missing ones included; all if not given",
        None,
        short="-n",
        metavar="N",
        affects_output=False,
    )
    first_shard: int = option("number of the first shard to process", 0, metavar="N", affects_output=False)
    num_workers: int | None = option(
        "worker processes; DataComp's name for --workers", None, short="-j", metavar="N", affects_output=False
    )
    shard_size: int = option("samples in each output shard, the last one excepted", 10_000, metavar="N")
    shard_format: str | None = option(
        "names of input shards in str.format syntax; every .tar of the folder if not given",
        None,
        metavar="FORMAT",
        affects_output=False,
    )
    output_shard_format: str = option("names of output shards in str.format syntax", "{:08d}.tar", metavar="FORMAT")
    shard_stats_format: str | None = option(
        "names of the input shards' stats files, which tell how many samples to expect; NAME_stats.json if not given",
        None,
        metavar="FORMAT",
        affects_output=False,
    )
    output_shard_stats_format: str = option("names of output stats files", "{:08d}_stats.json", metavar="FORMAT")
    shard_table: str = option(
        "JSON of samples per shard, relative to the folder it is about", "sizes.json", metavar="FILE", affects_output=False
    )
    write_shard_table: bool = option(
        "write that table of the output shards too, as open_clip reads it", False, affects_output=False
    )
    shuffle_bufsize: int = option("shuffle within blocks of so many samples; 0: keep the order", 0, metavar="N")
    blur_metadata_map: str | None = option(
        "JSON that maps parquet files with uid and face_bboxes to shards", None, metavar="FILE", affects_output=False
    )
    apply_blur: bool = option("blur faces: the boxes of --blur-metadata-map, or else face_bboxes of the sample's json", False)
    inject_blur_metadata: bool = option("write the map's boxes into the json as face_bboxes", False)
    reencode_webp_quality: int = option("quality of blurred images that are stored as WebP, 1 to 100", 100, metavar="Q")
    dry_run: bool = option("look through the shards and say what would be written; write nothing", False, affects_output=False)
    overwrite: bool = option(
        "remove what stands in --output-dir first; without it a run that broke off is completed", False, affects_output=False
    )
    verbose: bool = option("name every missing shard, not the first twenty ranges", False, short="-v", affects_output=False)
    quiet: bool = option("name no missing shards; they are counted still", False, short="-q", affects_output=False)
    blur_format: Literal["webp", "same"] = option(
        "what blurred images are stored as: WebP as DataComp's are, or JPEG and PNG as themselves", "webp"
    )
    seed: int = option("seed of --shuffle-bufsize", 0)
    # Filled in by run: hashes of what is read.
    subset: str = ""
    inputs: str = ""
    boxes: str = ""
    subset_at: str = field(default="", metadata={"affects_output": False})

    def __post_init__(self) -> None:
        """Raises UsageError naming the first option that is out of bounds."""
        super().__post_init__()
        for name, least, most in (
            ("num_shards", 1, 10**12),
            ("first_shard", 0, 10**12),
            ("num_workers", 1, MOST_WORKERS),
            ("shard_size", 1, _MOST_SAMPLES),
            ("shuffle_bufsize", 0, _MOST_SHUFFLED),
            ("reencode_webp_quality", 1, 100),
            ("seed", 0, 2**63 - 1),
        ):
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise UsageError(f"--{name.replace('_', '-')} {value}: must be {least} to {most}")
        if self.inject_blur_metadata and self.blur_metadata_map is None:
            raise UsageError("--inject-blur-metadata: give the boxes to write with --blur-metadata-map")


def run(config: ReshardConfig, spark: Any = None) -> Manifest:
    """Write the curated shards. Raises UserError for inputs that cannot be worked with and for a folder that is not ours."""
    from pipeline.reshard.flow import reshard

    return reshard(config, spark)


__all__ = ["ReshardConfig", "run"]
