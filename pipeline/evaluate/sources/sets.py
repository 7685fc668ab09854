"""A folder → the evaluation sets in it, of whatever layout, each by its name."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from pipeline import io
from pipeline.evaluate.datacomp import known_set, not_supported
from pipeline.evaluate.sources import hub_parquets, image_folders, parquet_sets, webdatasets
from pipeline.evaluate.sources.listing import folders_in, split_of
from pipeline.evaluate.sources.tasks import EvalSet
from schemas.errors import UserError

_DEEPEST = 3  # folders below the one that is given: wds/vtab/caltech101
_ALL_SPLITS = "data"  # the folder where the Hub has the files of all splits


@dataclass(frozen=True, kw_only=True)
class Found:
    """A set that is there: what its tasks are called, where it is, and how to open it."""

    names: tuple[str, ...]
    path: str
    open: Callable[[], EvalSet] = field(repr=False)
    standing: Callable[[], str] = field(repr=False)  # hex digits that change when the set does
    images: Callable[[], Iterator[bytes]] = field(repr=False)  # encoded, in order, whatever is known of them


def find_sets(folder: str) -> list[Found]:
    """The sets of a folder, which may itself be one, sorted by path. Raises UserError where there is none.

    Two sets of one name cannot be opened.
    """
    found = sets_in(folder)
    if not found:
        raise UserError(
            f"{folder}: no cls_NAME.parquet, no ret_NAME.parquet, no folder of class folders of images and no WebDataset in it; "
            "see docs/evaluate.md"
        )
    return list(_without_doubles(found))


def sets_in(folder: str) -> list[Found]:
    """The same where there may be none, and two may have one name."""
    fs, root = io.url_to_fs(folder)
    if not fs.isdir(root):
        raise UserError(f"{folder}: no such folder")
    found = [_parquet(path) for path in io.list_files(folder, ".parquet") if parquet_sets.is_set(path)]
    found += _walk(folder, (), io.absolute(folder).rstrip("/").rsplit("/", 1)[-1])
    return sorted(found, key=lambda each: each.path)


def _parquet(path: str) -> Found:
    return Found(
        names=tuple(parquet_sets.names_of(path)),
        path=path,
        open=partial(parquet_sets.open_parquet, path),
        standing=partial(parquet_sets.digest, path),
        images=partial(parquet_sets.images_in, path),
    )


def _walk(folder: str, inside: tuple[str, ...], own: str) -> Iterator[Found]:
    """The sets at a folder and below; `inside`: names of the folders down to it, `own`: its name where there are none."""
    name = "/".join(inside) or own
    if webdatasets.is_set(folder):
        yield _found(name, folder, partial(webdatasets.open_webdataset, folder), webdatasets)
    elif image_folders.is_set(folder):
        yield _image_folder(name, folder, folder)
    elif inside and hub_parquets.is_set(folder):
        yield _found(name, folder, partial(hub_parquets.open_hub_parquets, folder), hub_parquets)
    elif len(inside) < _DEEPEST:
        yield from _below(folder, inside, own)


def _below(folder: str, inside: tuple[str, ...], own: str) -> Iterator[Found]:
    """The sets in the folders of a folder; where these are splits of images, the one to test on, by the folder's own name."""
    names = folders_in(folder)
    split = split_of(names)
    if split is not None and image_folders.is_set(io.join(folder, split)):
        yield _image_folder("/".join(inside) or own, io.join(folder, split), folder)
        return
    for name in names:
        yield from _walk(io.join(folder, name), inside if inside and name == _ALL_SPLITS else (*inside, name), own)


def _image_folder(name: str, path: str, beside: str) -> Found:
    opening = partial(image_folders.open_image_folder, path, beside=beside)
    found = _found(name, path, opening, image_folders)
    return replace(found, standing=partial(image_folders.standing_of, path, beside=beside))


def _found(name: str, path: str, opening: Callable[[str], EvalSet], layout: Any) -> Found:
    """A set under DataComp's key where it has one, else under its name without what publishers put around it."""
    last = name.rsplit("/", 1)[-1]
    known = known_set(name) or known_set(last)
    named = known.key if known else name.removeprefix("wds/").removeprefix("wds_").removesuffix("_test") or name
    unfit = not_supported(name) or not_supported(last)
    return Found(
        names=(named,),
        path=path,
        open=partial(_refuse, f"{path}: {unfit} is not supported: its labels and metrics are of its own kind")
        if unfit
        else partial(opening, named),
        standing=partial(layout.standing_of, path),
        images=partial(layout.images_in, path),
    )


def _without_doubles(found: list[Found]) -> Iterator[Found]:
    """The sets; those of one name cannot be opened, since nobody could tell their results apart."""
    paths = defaultdict(list)
    for each in found:
        for name in each.names:
            paths[name].append(each.path)
    for each in found:
        double = next((name for name in each.names if len(paths[name]) > 1), None)
        others = ", ".join(path for path in paths[double or ""] if path != each.path)
        text = f"{each.path}: {others} defines the task {double}, too; rename or move one"
        yield each if double is None else replace(each, open=partial(_refuse, text))


def _refuse(text: str) -> EvalSet:
    raise UserError(text)
