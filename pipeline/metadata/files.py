"""Which metadata files there are: each parquet, the .npz of its stem, and parquets of that stem in other folders."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import io
from pipeline.metadata.arrays import array_names
from schemas.errors import UserError


@dataclass(frozen=True)
class MetadataFile:
    """A parquet of metadata, and `beside` it parquets with further columns of the same rows in the same order."""

    path: str
    beside: tuple[str, ...] = ()

    @property
    def stem(self) -> str:
        """The file's name without folder and suffix: that of every other file of its rows."""
        return io.stem(self.path)

    @property
    def arrays(self) -> str:
        """The .npz of its embeddings, which may not be there."""
        return self.path.removesuffix(".parquet") + ".npz"


def metadata_files(folder: str, beside: Sequence[str] = ()) -> list[MetadataFile]:
    """The parquet files of a metadata folder, sorted, each with those of its stem in the folders `beside`.

    Raises UserError where there are none, and naming the first stem that a folder of `beside` lacks.
    """
    files = io.list_files(folder, ".parquet")
    if not files:
        raise UserError(f"{folder}: no parquet files in it; give the folder that `score` wrote or DataComp's metadata folder")
    others = [_by_stem(other) for other in beside]
    for other, found in zip(beside, others, strict=True):
        if missing := [io.stem(path) for path in files if io.stem(path) not in found]:
            raise UserError(
                f"{other}: has no {missing[0]}.parquet, which {folder} has ({len(missing)} of {len(files)} files lack theirs); "
                "make these columns from that metadata"
            )
    return [MetadataFile(path, tuple(found[io.stem(path)] for found in others)) for path in files]


def columns_at_hand(files: Sequence[MetadataFile]) -> tuple[str, ...]:
    """The columns, and the arrays, of the first file that can be read. Raises UserError where none can."""
    problem = ""
    for file in files:
        try:
            names = [name for path in (file.path, *file.beside) for name in schema_of(path).names]
            return tuple(dict.fromkeys([*names, *array_names(file.arrays)]))
        except UserError as error:
            problem = problem or str(error)
    raise UserError(problem)


def schema_of(path: str) -> pa.Schema:
    """The schema of a parquet file. Raises UserError naming it where it cannot be read."""
    try:
        with io.open_read(path) as file:
            return pq.read_schema(file)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path}: damaged parquet file ({error}); download or make it again") from error


def rows_of(file: MetadataFile) -> int:
    """How many rows its parquet says it has; 0 where it cannot be read."""
    try:
        with io.open_read(file.path) as source:
            return int(pq.ParquetFile(source).metadata.num_rows)
    except (pa.ArrowException, OSError):
        return 0


def _by_stem(folder: str) -> dict[str, str]:
    return {io.stem(path): path for path in io.list_files(folder, ".parquet")}
