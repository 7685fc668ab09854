"""A folder of folders of images, one per class, as ImageNet is unpacked → an evaluation set.

Classes are the folders by name. What they are called in prompts: classes.json, an object {folder: name} or a list of [folder,
name]; or classnames.txt, a name per line, for folders 0, 1, 2 … by number and for others in order; without either the folders'
own names. Prompts: templates.json or zeroshot_classification_templates.txt.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from pipeline import io
from pipeline.evaluate.datacomp import known_set
from pipeline.evaluate.sources.listing import files_in, fingerprint, folders_in, lines_of
from pipeline.evaluate.sources.parquet_sets import list_in
from pipeline.evaluate.sources.tasks import MAIN_CLASSIFICATION, TEMPLATES, Classification, EvalSet, Item, is_template
from pipeline.samples import IMAGE_SUFFIXES
from schemas.errors import UserError

CLASSES, CLASS_NAMES = "classes.json", "classnames.txt"
TEMPLATES_JSON, TEMPLATES_TEXT = "templates.json", "zeroshot_classification_templates.txt"
_SUFFIXES = tuple(f".{suffix}" for suffix in IMAGE_SUFFIXES)


def is_set(path: str) -> bool:
    """Whether a folder holds folders of images."""
    return any(files_in(io.join(path, name), _SUFFIXES) for name in folders_in(path))


def open_image_folder(path: str, name: str, beside: str | None = None) -> EvalSet:
    """The set in a folder. Raises UserError where classes have no names. `beside`: where names and prompts are, if elsewhere."""
    texts = beside or path
    images = _images(path)
    classes, number_of = _classes(texts, list(images))
    known = known_set(name)
    fits = known is not None and known.kind == "classification" and known.groups is None
    task = Classification(
        name=known.key if known and fits else name,
        dataset=known.name if known and fits else name,
        classes=tuple(classes),
        templates=templates_of(texts),
        main_metric=known.main_metric if known and fits else MAIN_CLASSIFICATION,
    )
    return EvalSet(path=path, tasks=(task,), items=partial(_items, path, images, number_of))


def standing_of(path: str, beside: str | None = None) -> str:
    """Whether the set has changed since."""
    sizes = [(f"{folder}/{name}", size) for folder, files in _images(path).items() for name, size in files.items()]
    names = (CLASSES, CLASS_NAMES, TEMPLATES_JSON, TEMPLATES_TEXT)
    return fingerprint(sizes, (io.join(beside or path, name) for name in names))


def images_in(path: str) -> Iterator[bytes]:
    """The images of a set, encoded."""
    return (io.read_bytes(io.join(path, folder, name)) for folder, names in _images(path).items() for name in names)


def templates_of(path: str) -> tuple[str, ...]:
    """The prompts that stand in a folder, else ours. Raises UserError for one without a place for the class name."""
    if io.exists(io.join(path, TEMPLATES_JSON)):
        return tuple(list_in(io.join(path, TEMPLATES_JSON), 'a list of texts with "{}" in each', is_template))
    text = io.join(path, TEMPLATES_TEXT)
    lines = [line for line in lines_of(text) or [] if line]
    wrong = next((line for line in lines if not is_template(line)), None)
    if wrong is not None:
        raise UserError(f"{text}: {wrong!r} has no {{c}}, the place for the class name")
    return tuple(lines) or TEMPLATES


def _images(path: str) -> dict[str, dict[str, int]]:
    """Class folder → its images and their sizes in bytes."""
    found = {folder: files_in(io.join(path, folder), _SUFFIXES) for folder in folders_in(path)}
    return {folder: images for folder, images in found.items() if images}


def _classes(path: str, folders: Sequence[str]) -> tuple[list[str], dict[str, int]]:
    """What the classes are called, and the number of each folder's class."""
    mapping = io.join(path, CLASSES)
    if io.exists(mapping):
        pairs = _pairs(mapping)
        number_of = {key: number for number, (key, _) in enumerate(pairs)}
        strange = next((folder for folder in folders if folder not in number_of), None)
        if strange is not None:
            raise UserError(f"{mapping}: tells no name for the folder {strange}; add it, or remove the folder")
        return [name for _, name in pairs], number_of
    lines = lines_of(io.join(path, CLASS_NAMES))
    if lines is None:
        return [folder.replace("_", " ") for folder in folders], {folder: number for number, folder in enumerate(folders)}
    if all(folder.isdecimal() for folder in folders):
        number_of = {folder: int(folder) for folder in folders}
        if max(number_of.values()) < len(lines):
            return lines, number_of
    elif len(lines) == len(folders):
        return lines, {folder: number for number, folder in enumerate(folders)}
    raise UserError(f"{path}: {CLASS_NAMES} has {len(lines)} lines for {len(folders)} folders; or name them in {CLASSES}")


def _pairs(path: str) -> list[tuple[str, str]]:
    try:
        value = json.loads(io.read_bytes(path))
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error})") from error
    pairs = list(value.items()) if isinstance(value, dict) else value
    good = isinstance(pairs, list) and pairs and all(isinstance(each, tuple | list) and len(each) == 2 for each in pairs)
    if not good or not all(isinstance(text, str) for each in pairs for text in each):
        raise UserError(f'{path}: must be {{"folder": "class name", …}} or a list of [folder, class name]')
    return [(key, name) for key, name in pairs]


def _items(path: str, images: Mapping[str, Mapping[str, int]], number_of: Mapping[str, int]) -> Iterator[Item]:
    for folder, names in images.items():
        for name in names:
            content = io.read_bytes(io.join(path, folder, name))
            yield Item(where=f"{folder}/{name}", image=content, label=number_of[folder])
