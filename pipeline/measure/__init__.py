"""measure: metadata → a column of numbers beside it, made of what stands there: a filter's measure, or a head over embeddings."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.manifest import Manifest
from pipeline.options import StageConfig, option
from schemas.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class MeasureConfig(StageConfig):
    """What `webpairs measure` takes."""

    metadata: str = option("folder (local or URL) of metadata: what `score` wrote, or DataComp's", metavar="DIR")
    out: str = option("where {stem}.parquet with uid and the column go: give it to `filter` as --beside", metavar="DIR")
    name: str | None = option("a filter whose measure is stored: negclip_loss, norm_sim (docs/filters.md)", None)
    head: str | None = option("instead: a head's file of weights, as docs/score.md has them (path or URL)", None, metavar="FILE")
    on: str | None = option("the embeddings that the head takes, such as l14_img", None, metavar="ARRAY")
    column: str | None = option("the column's name (default: the measure's, with its arch; for a head, its file's)", None)
    arch: str | None = option("CLIP model whose embeddings are taken: b32, l14 or another", None)
    param: tuple[str, ...] = option("other parameters of the measure", (), metavar="KEY=VALUE")
    beside: tuple[str, ...] = option("folders with further columns of the same rows", (), metavar="DIR")
    # Filled in by run.
    made_by: dict[str, Any] = field(default_factory=dict)  # what decides the column, for the folder's config
    ready: str = field(default="", metadata={"affects_output": False})  # a file with the measure, for workers to load
    files: dict[str, Any] = field(default_factory=dict, metadata={"affects_output": False})  # stem → MetadataFile

    def __post_init__(self) -> None:
        """Raises UsageError where options do not go together."""
        super().__post_init__()
        if (self.name is None) == (self.head is None):
            raise UsageError("give either --name or --head")
        if self.head is not None and self.on is None:
            raise UsageError("--head: give --on ARRAY, the embeddings that it was trained on, such as l14_img")
        if self.head is not None and (self.param or self.arch is not None):
            raise UsageError("--head: takes neither --param nor --arch; they are for --name")
        if self.name is not None and self.on is not None:
            raise UsageError("--on: is for --head; a measure by --name takes --arch")
        if not re.fullmatch("[a-z][a-z0-9_]*", self.column or "a"):
            raise UsageError(f"--column {self.column}: use a-z, 0-9 and _, a letter first")


def run(config: MeasureConfig, spark: Any = None) -> Manifest:
    """Measure every row of the metadata, a part per file. Raises UserError for a measure or metadata that will not do.

    A measure that depends on the whole pool is prepared once, here.
    """
    from pipeline.measure.work import column_of, measure_file, measure_of
    from pipeline.metadata.files import columns_at_hand, metadata_files
    from pipeline.stage import Part, run_stage

    del spark  # matrix products over stored embeddings: threads of one machine
    files = metadata_files(config.metadata, config.beside)
    asked, made_by = measure_of(config, columns_at_hand(files))
    with _prepared(asked, files) as ready:
        config = replace(
            config,
            column=column_of(config, asked),
            made_by=made_by,
            ready=ready,
            files={file.stem: file for file in files},
        )
        parts = [Part(name=file.stem, inputs=(file.path,)) for file in files]
        return run_stage("measure", config, parts, measure_file, out=config.out, upstream=[config.metadata, *config.beside])


@contextmanager
def _prepared(asked: Any, files: Any) -> Iterator[str]:
    """A file with the measure, prepared on the pool where it needs that; it stands for the block."""
    import pickle
    import tempfile
    from pathlib import Path

    from filters.measured import prepared
    from pipeline.metadata.read import ReadablePool

    with tempfile.TemporaryDirectory(prefix="webpairs-") as folder:
        path = Path(folder) / "measure"
        pool = ReadablePool(files)
        with pool.blamed():
            path.write_bytes(pickle.dumps(prepared(asked, pool)))
        yield str(path)


__all__ = ["MeasureConfig", "run"]
