"""Faces: boxes from a sample's json or from DataComp's metadata → the sample with them blurred, or told in its json."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import io
from pipeline.download.images.modes import StoredFormat
from pipeline.samples import IMAGE_SUFFIXES, parse_json
from schemas.errors import UserError

Boxes = list[list[float]]
BlurFormat = Literal["webp", "same"]
_UID_DIGITS = 32
_JPEG_QUALITY, _PNG_COMPRESSION = 95, 6
_MOST_PIXELS = 89_478_485  # as in download
_SAME: dict[str, StoredFormat] = {
    "jpg": "jpg",
    "jpeg": "jpg",
    "png": "png",
}  # suffix → what it is encoded as; all else becomes WebP


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is done with faces: `blur` them, storing images as `form` says, WebP of `quality`; `inject` those of the map."""

    blur: bool
    inject: bool
    form: BlurFormat
    quality: int


class NotBlurredError(Exception):
    """A sample whose faces are to be blurred or told and cannot be: not written. The message is the reason it is counted by."""


def read_map(path: str, input_dir: str) -> dict[str, str]:
    """Name of an input shard → the parquet that has its boxes, from a JSON of {"…": {"shards": [path, …], "parquet": path}}.

    Shards of other folders than `input_dir` are left out, as DataComp's resharder does. Raises UserError.
    """
    found = {}
    folders: dict[str, bool] = {}
    try:
        for entry in json.loads(io.read_bytes(path)).values():
            for shard in entry["shards"]:
                folder, _, name = shard.rpartition("/")
                if folder not in folders:
                    folders[folder] = io.is_same(folder or ".", input_dir)
                if folders[folder]:
                    found[name] = io.absolute(str(entry["parquet"]))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UserError(f"{path}: not a map of shards to parquet ({error}); its form is in docs/reshard.md") from error
    return found


class FaceTables:
    """Boxes by uid, of one parquet file after the other: neighbouring shards have theirs in the same one."""

    def __init__(self) -> None:
        self._path = ""
        self._uids = self._boxes = pa.array([], pa.string())

    def boxes_of(self, path: str, uids: Sequence[str]) -> list[Any]:
        """What the column face_bboxes has for each uid, None where the file has no such uid. Raises UserError naming the file."""
        if path != self._path:
            self._uids, self._boxes = _face_table(path)
            self._path = path
        return list(self._boxes.take(pc.index_in(pa.array(uids, pa.string()), self._uids)).to_pylist())


def _face_table(path: str) -> tuple[pa.Array, pa.Array]:
    try:
        with io.open_read(path) as file:
            table = pq.read_table(file, columns=["uid", "face_bboxes"]).combine_chunks()
            uids = pc.utf8_lpad(table["uid"].cast(pa.string()), _UID_DIGITS, "0")  # as DataComp's resharder takes them
            return uids.combine_chunks(), table["face_bboxes"].combine_chunks()
    except (pa.ArrowException, OSError, KeyError) as error:
        raise UserError(f"{path}: no parquet with uid and face_bboxes ({error}); correct --blur-metadata-map") from error


def treated(members: Mapping[str, bytes], mapped: Any, settings: Settings) -> tuple[dict[str, bytes], bool]:
    """The members with faces blurred or told, sorted by suffix, and whether anything was blurred.

    `mapped`: the map's boxes; where they are None those in the json are blurred. Raises NotBlurredError.
    """
    done, was_blurred = dict(members), False
    told = parse_json(members.get("json")) if mapped is None or settings.inject else {}
    if settings.blur:
        boxes = checked(told.get("face_bboxes") if mapped is None else mapped)
        if was_blurred := bool(boxes):
            _blur_all(done, boxes, settings)
    if settings.inject and mapped:
        checked(mapped)
        done["json"] = json.dumps({**told, "face_bboxes": [list(box) for box in mapped]}).encode()
    return dict(sorted(done.items())), was_blurred


def checked(boxes: Any) -> Boxes:
    """Boxes as lists of four finite numbers. Raises NotBlurredError for anything else but None."""
    if boxes is None:
        return []
    try:
        found = [[float(part) for part in box] for box in boxes]
    except (TypeError, ValueError, OverflowError) as error:
        raise NotBlurredError("bad_boxes") from error
    if not isinstance(boxes, list) or any(len(box) != 4 or not all(map(math.isfinite, box)) for box in found):
        raise NotBlurredError("bad_boxes")
    return found


def _blur_all(members: dict[str, bytes], boxes: Boxes, settings: Settings) -> None:
    from pipeline.download.images.image import BadImageError, ImageSettings, make_picture

    images = [suffix for suffix in IMAGE_SUFFIXES if suffix in members]
    if not images:
        raise NotBlurredError("not_blurred")  # the faces are in a member of a kind that is not known
    for suffix in images:
        body = members.pop(suffix)
        form: StoredFormat = "webp" if settings.form == "webp" else _SAME.get(suffix, "webp")
        quality = {"jpg": _JPEG_QUALITY, "png": _PNG_COMPRESSION}.get(form, settings.quality)
        wanted = ImageSettings(
            size=1, mode="no", enlarge=False, quality=quality, max_pixels=_MOST_PIXELS, format=form, reencode=True
        )
        try:
            members[form if form == "webp" else suffix] = make_picture(body, wanted, boxes=boxes).data
        except BadImageError as error:
            raise NotBlurredError("not_blurred") from error
