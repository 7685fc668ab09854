"""A WebDataset as CLIP_benchmark's webdataset_builder writes it → an evaluation set.

{split}/0.tar, 1.tar … with their number in {split}/nshards.txt; beside the splits classnames.txt,
zeroshot_classification_templates.txt and dataset_type.txt (`retrieval`; without it classification). A sample is an image with
.cls, a class number, or for retrieval with .txt, a caption per line; by numbers in .npy some of DataComp's sets are grouped.
"""

import io as bytes_io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from pipeline import io
from pipeline.evaluate.datacomp import KnownSet, known_set
from pipeline.evaluate.sources.image_folders import CLASS_NAMES, TEMPLATES_TEXT, templates_of
from pipeline.evaluate.sources.listing import SPLITS, files_in, fingerprint, folders_in, lines_of, split_in
from pipeline.evaluate.sources.tasks import MAIN_CLASSIFICATION, Classification, EvalSet, Item, Retrieval, Task
from pipeline.samples import IMAGE_SUFFIXES, Sample, TarReader
from schemas.errors import UserError

_TYPE, _N_SHARDS = "dataset_type.txt", "nshards.txt"


@dataclass(frozen=True)
class _Reads:
    """Which members of a sample are its labels."""

    captions: bool
    group: int | None


def is_set(path: str) -> bool:
    """Whether a folder has splits with tars."""
    splits = {*SPLITS, "train"} & {*folders_in(path)}
    return any(io.exists(io.join(path, split, _N_SHARDS)) or files_in(io.join(path, split), (".tar",)) for split in splits)


def open_webdataset(path: str, name: str) -> EvalSet:
    """The set in a folder. Raises UserError where shards or class names are missing and for kinds that are not supported."""
    kind = " ".join(lines_of(io.join(path, _TYPE)) or ["classification"]).strip().lower()
    if kind not in ("classification", "retrieval"):
        raise UserError(f"{path}: {_TYPE} says {kind!r}; only classification and retrieval are supported")
    known = known_set(name)
    known = known if known is not None and known.kind == kind else None
    task = _classification(path, name, known) if kind == "classification" else _retrieval(name, known)
    reads = _Reads(captions=kind == "retrieval", group=known.groups if known else None)
    return EvalSet(path=path, tasks=(task,), items=partial(_items, _shards(path), reads))


def standing_of(path: str) -> str:
    """Whether the set has changed since."""
    split = split_in(path)
    texts = [io.join(path, name) for name in (CLASS_NAMES, TEMPLATES_TEXT, _TYPE)]
    return fingerprint(files_in(split, (".tar",)).items(), [*texts, io.join(split, _N_SHARDS)])


def images_in(path: str) -> Iterator[bytes]:
    """The images of a set, encoded."""
    return (_image(tar, sample) for tar, sample in _samples(_shards(path)))


def _classification(path: str, name: str, known: KnownSet | None) -> Task:
    classes = lines_of(io.join(path, CLASS_NAMES))
    if not classes:
        raise UserError(f"{path}: no {CLASS_NAMES}, or nothing in it; give one class name per line, in order of the .cls numbers")
    return Classification(
        name=known.key if known else name,
        dataset=known.name if known else name,
        classes=tuple(classes),
        templates=templates_of(path),
        main_metric=known.main_metric if known else MAIN_CLASSIFICATION,
    )


def _retrieval(name: str, known: KnownSet | None) -> Task:
    return Retrieval(name=known.key if known else name, dataset=known.name if known else name)


def _shards(path: str) -> list[str]:
    folder = split_in(path)
    tars, told = files_in(folder, (".tar",)), lines_of(io.join(folder, _N_SHARDS))
    if told is None:
        return [io.join(folder, name) for name in sorted(tars, key=lambda name: (len(name), name))]
    try:
        wanted = [f"{number}.tar" for number in range(int(told[0]))]
    except (ValueError, IndexError) as error:
        raise UserError(f"{io.join(folder, _N_SHARDS)}: must hold the number of shards") from error
    missing = [name for name in wanted if name not in tars]
    if missing:
        raise UserError(f"{folder}: {_N_SHARDS} tells of {len(wanted)} shards, and {missing[0]} is not there; download it again")
    return [io.join(folder, name) for name in wanted]


def _items(shards: Sequence[str], reads: _Reads) -> Iterator[Item]:
    return (_item(path, sample, reads) for path, sample in _samples(shards))


def _samples(shards: Sequence[str]) -> Iterator[tuple[str, Sample]]:
    """Each sample, and the tar that it is in."""
    for path in shards:
        with io.open_read(path) as file:
            reader = TarReader(file)
            for sample in reader:
                yield path, sample
        if reader.damage:
            raise UserError(f"{path}: not a whole tar ({reader.damage}); download it again")


def _item(path: str, sample: Sample, reads: _Reads) -> Item:
    where = f"{path.rsplit('/', 1)[-1]}, sample {sample.key}"
    image = _image(path, sample)
    if reads.captions:
        return Item(where=where, image=image, texts=_captions(path, sample))
    group = None if reads.group is None else _group(path, sample, reads.group)
    return Item(where=where, image=image, label=_number(path, sample), group=group)


def _image(path: str, sample: Sample) -> bytes:
    image = next((sample.members[suffix] for suffix in IMAGE_SUFFIXES if sample.members.get(suffix)), None)
    if image is None:
        raise UserError(f"{path}: sample {sample.key} has no image ({', '.join(sorted(sample.members))})")
    return image


def _captions(path: str, sample: Sample) -> tuple[str, ...]:
    captions = tuple((sample.members.get("txt") or b"").decode("utf-8", "replace").splitlines())
    if not captions:
        raise UserError(f"{path}: sample {sample.key} has no caption (.txt)")
    return captions


def _number(path: str, sample: Sample) -> int:
    content = sample.members.get("cls") or b""
    try:
        return int(content)
    except ValueError as error:
        raise UserError(f"{path}: sample {sample.key} has no class number in .cls ({content[:20]!r})") from error


def _group(path: str, sample: Sample, column: int) -> int:
    try:
        return int(np.load(bytes_io.BytesIO(sample.members.get("npy") or b""), allow_pickle=False).reshape(-1)[column])
    except Exception as error:  # numpy, zipfile and int have a dozen kinds for bytes that are not theirs
        raise UserError(f"{path}: sample {sample.key} has no group in .npy, column {column} ({error})") from error
