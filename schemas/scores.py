"""scores: DataComp's metadata layout, one row per downloaded pair; embeddings in the .npz of the same stem."""

import pyarrow as pa

from schemas.columns import column, required, table
from schemas.pool import POOL

CLIP_COLUMN = "clip_{name}_similarity_score"
_BEFORE, _AFTER = CLIP_COLUMN.split("{name}")

_FACE_BOX = pa.list_(pa.field("element", pa.float32(), nullable=False))

SCORES = table(
    "One downloaded pair. Row i belongs to row i of every array in the .npz (NAME_img, NAME_txt: (n, d) float16).",
    [
        required("uid", pa.string(), "32 lower-case hex digits, see candidates"),
        required("url", pa.string(), "image URL"),
        required("text", pa.string(), "alt text"),
        column("original_width", pa.int32(), "width as served", "px"),
        column("original_height", pa.int32(), "height as served", "px"),
        column(CLIP_COLUMN.format(name="b32"), pa.float32(), "cosine of image and text, OpenAI CLIP ViT-B/32"),
        column(CLIP_COLUMN.format(name="l14"), pa.float32(), "cosine of image and text, OpenAI CLIP ViT-L/14"),
        column(
            "face_bboxes",
            pa.list_(pa.field("element", _FACE_BOX, nullable=False)),
            "faces: x0, y0, x1, y1 each",
            "fraction of width and height",
        ),
        column("sha256", pa.string(), "sha256 of the bytes as served, hex"),
        required("key", pa.string(), "sample key in the shard"),
        required("shard", pa.string(), "stem of the shard's tar"),
        column("width", pa.int32(), "width as stored", "px"),
        column("height", pa.int32(), "height as stored", "px"),
        *(POOL.field(name).with_nullable(True) for name in ("lang", "lang_prob", "page_url", "license_url", "opted_out")),
        column("phash", pa.string(), "64-bit DCT perceptual hash of the stored image, 16 hex digits"),
        column("stored_sha256", pa.string(), "sha256 of the image's bytes as stored in the shard, hex"),
    ],
)


def clip_column(name: str) -> pa.Field:
    """The similarity column that an open_clip model called `name` adds (`NAME_img` and `NAME_txt` in the .npz)."""
    return column(CLIP_COLUMN.format(name=name), pa.float32(), f"cosine of image and text, model {name}")


def is_clip_column(name: str) -> bool:
    """Whether a column of that name holds cosines of image and text."""
    return name.startswith(_BEFORE) and name.endswith(_AFTER)


def clip_name(column: str) -> str:
    """The NAME in clip_NAME_similarity_score."""
    return column.removeprefix(_BEFORE).removesuffix(_AFTER)
