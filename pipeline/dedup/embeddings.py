"""Embeddings as dedup takes them: (n, d) float16, read file by file."""

from collections.abc import Iterator, Sequence

import numpy as np

from filters.embeddings import embedding, unit
from pipeline.metadata.files import MetadataFile
from pipeline.metadata.read import read_batches
from schemas.errors import UserError


def embeddings_of(file: MetadataFile, column: str, d: int | None = None) -> Iterator[np.ndarray]:
    """The file's rows in batches of (m, d) float16; others than float16 are made unit length first, lest they overflow.

    Raises UserError where they have not d dimensions.
    """
    for batch in read_batches(file, [column]):
        rows = embedding(batch, column)
        if d is not None and rows.shape[1] != d:
            raise UserError(
                f"{file.arrays}: array {column} has {rows.shape[1]} dimensions, those of other files {d}; score it again"
            )
        yield rows if rows.dtype == np.float16 else unit(rows).astype(np.float16)


def dimensions_of(files: Sequence[MetadataFile], column: str) -> int:
    """How long the embeddings are. Raises UserError where no file has any."""
    problem = "no rows"
    for file in files:
        try:
            for rows in embeddings_of(file, column):
                return int(rows.shape[1])
        except UserError as error:
            problem = str(error)
    raise UserError(f"no file has embeddings {column} that can be read: {problem}")


__all__ = ["dimensions_of", "embeddings_of"]
