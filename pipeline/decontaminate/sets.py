"""A folder of evaluation sets → their Index: images are decoded, hashed and embedded; scored sets are taken as they are."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from filters.embeddings import embedding, unit
from pipeline import io
from pipeline.decontaminate.index import Index, hashes_of
from pipeline.evaluate.sources.sets import Found, sets_in
from pipeline.metadata.files import MetadataFile, metadata_files, schema_of
from pipeline.metadata.read import read_batches
from pipeline.nearby import sha256_of
from schemas.errors import UsageError, UserError

if TYPE_CHECKING:
    from pipeline.decontaminate import DecontaminateConfig
    from pipeline.decontaminate.views import Viewer

_IMAGES = "jpg"
_ROWS = 256  # images decoded at once


@dataclass
class _Found:
    """What is gathered of the sets, view by view."""

    names: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)
    undecodable: dict[str, int] = field(default_factory=dict)
    set_of: list[np.ndarray] = field(default_factory=list)
    item_of: list[np.ndarray] = field(default_factory=list)
    hashes: list[np.ndarray] = field(default_factory=list)
    embeddings: list[np.ndarray] = field(default_factory=list)

    def begin(self, name: str, path: str, digest: str) -> None:
        self.names.append(name)
        self.sizes.append(0)
        self.digests[path] = digest

    def add(self, items: np.ndarray, hashes: np.ndarray, vectors: np.ndarray | None) -> None:
        self.set_of.append(np.full(len(items), len(self.names) - 1, np.int32))
        self.item_of.append(items)
        self.hashes.append(hashes)
        if vectors is not None:
            self.embeddings.append(vectors)


def read_sets(config: "DecontaminateConfig", columns: Sequence[str]) -> Index:
    """The index of the sets in `config.eval`. Raises UserError where there is none, or the metadata has nothing to compare.

    `columns`: those at hand in the metadata.
    """
    if config.embeddings is None and "phash" not in columns:
        raise UserError(f"{config.metadata}: no column phash; give --embeddings with the --model that made them")
    if config.embeddings is not None and config.embeddings not in columns:
        arrays = ", ".join(name for name in columns if name.endswith("_img")) or "none"
        raise UserError(f"--embeddings {config.embeddings}: the metadata has no such array; it has: {arrays}")
    pictures, unpacked = _pictures(config.eval), _unpacked(config.eval)
    scored = _scored(config.eval, {each.path for each in unpacked})
    if not pictures and not unpacked and not scored:
        raise UserError(f"{config.eval}: no parquet with a column {_IMAGES}, and no folder of metadata in it; see docs/dedup.md")
    if (pictures or unpacked) and config.embeddings is not None and config.model is None:
        raise UserError(f"{config.eval}: holds images: give --model and --pretrained of {config.embeddings}, to embed them")
    if not pictures and not unpacked and (config.crops or config.model is not None):
        option = "--crops" if config.crops else "--model"
        raise UsageError(f"{option}: is for evaluation images, and {config.eval} holds scored sets alone; leave it out")
    found = _Found()
    for name, path in pictures:
        found.begin(name, path, sha256_of(path))
        _require_bytes(path)
        _look_at(found, path, _images(path), _viewer(config))
    for each in unpacked:
        found.begin(each.names[0], each.path, each.standing())
        _look_at(found, each.path, _in_batches(each.images()), _viewer(config))
    for name, file in scored:
        found.begin(name, file.path, sha256_of(file.path))
        if config.embeddings is not None and io.exists(file.arrays):
            found.digests[file.arrays] = sha256_of(file.arrays)
        _take(found, file, config.embeddings)
    return _index(found, config)


def _pictures(folder: str) -> list[tuple[str, str]]:
    return [(io.stem(path), path) for path in io.list_files(folder, ".parquet") if _IMAGES in schema_of(path).names]


def _unpacked(folder: str) -> list[Found]:
    """Sets in folders of their own: image folders, WebDatasets, the Hub's parquet files."""
    return [each for each in sets_in(folder) if not each.path.endswith(".parquet")]


def _scored(folder: str, others: Collection[str]) -> list[tuple[str, MetadataFile]]:
    """Metadata files below `folder`, each named by the folder of its set; `others`: folders that hold something else."""
    fs, root = io.url_to_fs(folder)
    inside = (each["name"] for each in fs.ls(root, detail=True) if each["type"] != "file")
    below = sorted(name for name in inside if fs.isdir(name))  # through links
    folders = [io.join(folder, name.rstrip("/").rsplit("/", 1)[-1]) for name in below]
    return [
        (io.stem(each), file)
        for each in folders
        if each not in others and io.list_files(each, ".parquet")
        for file in metadata_files(each)
    ]


def _viewer(config: "DecontaminateConfig") -> "Viewer":
    from pipeline.decontaminate.views import viewer_of

    return viewer_of(config.model, config.pretrained, config.device, crops=config.crops)


def _require_bytes(path: str) -> None:
    if not _is_binary(schema_of(path).field(_IMAGES).type):
        raise UserError(f"{path}: column {_IMAGES} holds no bytes ({schema_of(path).field(_IMAGES).type}); give encoded images")


def _in_batches(images: Iterator[bytes]) -> Iterator[list[bytes | None]]:
    while batch := list(islice(images, _ROWS)):
        yield [*batch]


def _look_at(found: _Found, path: str, batches: Iterator[list[bytes | None]], viewer: "Viewer") -> None:
    at = 0
    for images in batches:
        seen = viewer.see(images)
        found.undecodable[path] = found.undecodable.get(path, 0) + seen.undecodable
        found.add(at + seen.image_of, seen.hashes, seen.embeddings)
        at += len(images)
    found.sizes[-1] += at


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _images(path: str) -> Iterator[list[bytes | None]]:
    try:
        with io.open_read(path) as source:
            for batch in pq.ParquetFile(source).iter_batches(batch_size=_ROWS, columns=[_IMAGES]):
                yield batch[_IMAGES].to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path}: damaged parquet file ({error}); download or make it again") from error


def _take(found: _Found, file: MetadataFile, array: str | None) -> None:
    names = schema_of(file.path).names
    if "phash" not in names and array is None:
        raise UserError(f"{file.path}: no column phash; score the set with webpairs, or give --embeddings")
    columns = ["phash"] * ("phash" in names) + [array] * (array is not None)
    at = 0
    for batch in read_batches(file, [name for name in columns if name]):
        hashes = hashes_of(batch["phash"])[0] if "phash" in names else np.zeros(batch.num_rows, np.uint64)
        vectors = unit(embedding(batch, array)).astype(np.float16) if array is not None else None
        found.add(np.arange(at, at + batch.num_rows), hashes, vectors)
        at += batch.num_rows
    found.sizes[-1] += at


def _index(found: _Found, config: "DecontaminateConfig") -> Index:
    if not sum(map(len, found.hashes)):
        raise UserError(f"{config.eval}: holds no image that can be decoded; give evaluation sets that have some")
    vectors = np.nan_to_num(np.concatenate(found.embeddings)) if found.embeddings else None
    model = {"model": config.model, "weights": _weights(config.pretrained)} if config.model else {}
    return Index(
        names=tuple(found.names),
        sizes=tuple(found.sizes),
        set_of=np.concatenate(found.set_of),
        item_of=np.concatenate(found.item_of),
        hashes=np.concatenate(found.hashes),
        embeddings=vectors,
        made_by={"sets": found.digests, "undecodable": {k: n for k, n in found.undecodable.items() if n}, **model},
    )


def _weights(pretrained: str | None) -> str:
    from pipeline.clip import is_checkpoint

    return f"sha256 {sha256_of(pretrained)}" if pretrained and is_checkpoint(pretrained) else str(pretrained)
