"""Parquet files as the Hugging Face Hub makes them of DataComp's retrieval sets → an evaluation set.

Columns `image` and `caption`: Flickr and MSCOCO. Columns `candidate_images`, `candidates`, `cue` and `associations`: WinoGAViL.
An image is a struct whose field `bytes` is the encoded image.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import io
from pipeline.evaluate.datacomp import known_set
from pipeline.evaluate.sources.listing import files_in, fingerprint
from pipeline.evaluate.sources.tasks import Association, EvalSet, Item, Retrieval, Task
from pipeline.evaluate.special_metrics import JACCARD
from schemas.errors import UserError

_PAIRS = ("image", "caption")
_PUZZLES = ("cue", "candidates", "associations", "candidate_images")
_ROWS = 64  # whose images are in memory at once


def is_set(path: str) -> bool:
    """Whether a folder holds such files."""
    files = _files(path)
    return bool(files) and _columns(files[0]) is not None


def open_hub_parquets(path: str, name: str) -> EvalSet:
    """The set in a folder. Raises UserError for a damaged file."""
    files = _files(path)
    columns = _columns(files[0])
    kind = "association" if columns == _PUZZLES else "retrieval"
    known = known_set(name)
    known = known if known is not None and known.kind == kind else None
    key, dataset = (known.key, known.name) if known else (name, name)
    if kind == "retrieval":
        task: Task = Retrieval(name=key, dataset=dataset)
        return EvalSet(path=path, tasks=(task,), items=partial(_pairs, files))
    cues = tuple(_prompt(row["cue"]) for _, row in _rows(files, ("cue",)))
    task = Association(name=key, dataset=dataset, cues=cues, main_metric=JACCARD)
    return EvalSet(path=path, tasks=(task,), items=partial(_candidates, files))


def standing_of(path: str) -> str:
    """Whether the set has changed since."""
    return fingerprint(files_in(path, (".parquet",)).items(), ())


def images_in(path: str) -> Iterator[bytes]:
    """The images of a set, encoded."""
    files = _files(path)
    return (item.image for item in (_candidates(files) if _columns(files[0]) == _PUZZLES else _pairs(files)))


def _files(path: str) -> list[str]:
    """Those of the split `test` where names tell of splits."""
    names = list(files_in(path, (".parquet",)))
    return [io.join(path, name) for name in [name for name in names if name.startswith("test")] or names]


def _columns(path: str) -> tuple[str, ...] | None:
    try:
        with io.open_read(path) as file:
            names = pq.read_schema(file).names
    except (pa.ArrowException, OSError):
        return None
    return next((wanted for wanted in (_PAIRS, _PUZZLES) if {*wanted} <= {*names}), None)


def _rows(files: Sequence[str], columns: tuple[str, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each row, and where it is."""
    for path in files:
        number = 0
        try:
            with io.open_read(path) as file:
                for batch in pq.ParquetFile(file).iter_batches(batch_size=_ROWS, columns=list(columns)):
                    for row in batch.to_pylist():
                        yield f"{path.rsplit('/', 1)[-1]}, row {number}", row
                        number += 1
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"{path}: not a readable parquet file ({error}); download it again") from error


def _pairs(files: Sequence[str]) -> Iterator[Item]:
    for where, row in _rows(files, _PAIRS):
        told = row["caption"]
        captions = tuple(told or ()) if isinstance(told, list | None) else (told,)
        if not captions or not all(isinstance(caption, str) for caption in captions):
            raise UserError(f"{where} has no caption, or one that is no text")
        yield Item(where=where, image=_encoded(where, row["image"]), texts=captions)


def _candidates(files: Sequence[str]) -> Iterator[Item]:
    for puzzle, (where, row) in enumerate(_rows(files, _PUZZLES)):
        names, answers = row["candidates"] or [], {*(row["associations"] or [])}
        images = row["candidate_images"] or []
        if len(names) != len(images) or not answers & {*names}:
            raise UserError(f"{where}: {len(names)} candidates, {len(images)} images, and {len(answers)} associations among them")
        for name, image in zip(names, images, strict=True):
            yield Item(where=where, image=_encoded(where, image), puzzle=puzzle, wanted=name in answers)


def _encoded(where: str, image: Any) -> bytes:
    content = image.get("bytes") if isinstance(image, dict) else image
    if not isinstance(content, bytes):
        raise UserError(f"{where} has no image")
    return content


def _prompt(cue: str | None) -> str:
    """The text that DataComp asks with."""
    text = (cue or "").lower()
    return f"{'An' if text.startswith(('a', 'e', 'i', 'o', 'u')) else 'A'} {text}"
