"""decontaminate: scores → columns that say which pairs are near an image of an evaluation set, by embedding and by hash."""

from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.manifest import Manifest
from pipeline.options import StageConfig, option
from schemas.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class DecontaminateConfig(StageConfig):
    """What `webpairs decontaminate` takes."""

    metadata: str = option(
        "folder (local or URL) of metadata: what `score` wrote, or DataComp's with a column phash", metavar="DIR"
    )
    eval: str = option(
        "evaluation sets: cls_NAME.parquet and ret_NAME.parquet as `evaluate` takes them, or a folder of metadata per set",
        metavar="DIR",
    )
    out: str = option("where {stem}.parquet with uid and the columns go: give it to `filter` as --beside", metavar="DIR")
    model: str | None = option(
        "the model of --embeddings, to embed evaluation images with; without it hashes decide", None, metavar="NAME"
    )
    pretrained: str | None = option("its open_clip tag, or the path or URL of its checkpoint", None, metavar="TAG_OR_PATH")
    embeddings: str | None = option("the metadata's array of that model, such as l14_img", None, metavar="ARRAY")
    cosine: float = option("a pair is told to be near from this cosine on; filters may ask for more", 0.9, metavar="C")
    bits: int = option("a pair is told to be near up to so many different bits of 64; filters may ask for fewer", 8, metavar="N")
    crops: bool = option("compare with the middle and the corners of evaluation images, too: finds crops", False)
    device: str = option("auto, cpu, cuda or cuda:N", "auto", affects_output=False)
    beside: tuple[str, ...] = option("folders with further columns of the same rows", (), metavar="DIR")
    # Filled in by run.
    made_by: dict[str, Any] = field(default_factory=dict)  # the evaluation sets and the model, by hash
    index: str = field(default="", metadata={"affects_output": False})  # a file with the sets' hashes and embeddings
    files: dict[str, Any] = field(default_factory=dict, metadata={"affects_output": False})  # stem → MetadataFile

    def __post_init__(self) -> None:
        """Raises UsageError naming the first option that is out of bounds."""
        super().__post_init__()
        if not -1 <= self.cosine <= 1:
            raise UsageError(f"--cosine {self.cosine}: must be -1 to 1")
        if not 0 <= self.bits <= 64:
            raise UsageError(f"--bits {self.bits}: must be 0 to 64")
        if (self.model is None) != (self.pretrained is None):
            raise UsageError("give --model and --pretrained together, or neither")
        if self.model is not None and self.embeddings is None:
            raise UsageError("--model: give --embeddings ARRAY, the metadata's embeddings that this model made")


def run(config: DecontaminateConfig, spark: Any = None) -> Manifest:
    """Mark the pairs, a part per metadata file. Raises UserError for sets, a model or metadata that will not do.

    The manifest's fact `sets` tells of every evaluation set how many images it has and how many pairs are near one.
    """
    import tempfile
    from pathlib import Path

    from pipeline.decontaminate.sets import read_sets
    from pipeline.decontaminate.work import mark_file, told
    from pipeline.metadata.files import columns_at_hand, metadata_files
    from pipeline.stage import Part, run_stage

    del spark  # a matrix product per file: one machine, or its GPU
    files = metadata_files(config.metadata, config.beside)
    index = read_sets(config, columns_at_hand(files))
    with tempfile.TemporaryDirectory(prefix="webpairs-") as folder:
        path = str(Path(folder) / "index.npz")
        index.save(path)
        config = replace(config, made_by=index.made_by, index=path, files={file.stem: file for file in files})
        parts = [Part(name=file.stem, inputs=(file.path,)) for file in files]
        return run_stage(
            "decontaminate",
            config,
            parts,
            mark_file,
            out=config.out,
            upstream=[config.metadata, *config.beside],
            facts=lambda reports: told(index, reports),
        )


__all__ = ["DecontaminateConfig", "run"]
