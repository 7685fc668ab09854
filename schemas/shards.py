"""shards: the sidecar parquet beside each tar, one row per pair that was tried, in img2dataset's columns."""

import pyarrow as pa

from schemas.columns import column, required, table
from schemas.pool import POOL

# img2dataset's names are kept although they carry no unit: foreign tools read them.
IMG2DATASET = [
    column("caption", pa.string(), "alt text"),
    required("url", pa.string(), "image URL"),
    required("key", pa.string(), "sample key: shard number and row number, zero-padded"),
    required("status", pa.string(), "success, failed_to_download or failed_to_resize"),
    column("error_message", pa.string(), "why it failed, e.g. http_404, timeout, truncated; null on success"),
    column("width", pa.int32(), "width as stored", "px"),
    column("height", pa.int32(), "height as stored", "px"),
    column("original_width", pa.int32(), "width as served, after EXIF orientation", "px"),
    column("original_height", pa.int32(), "height as served, after EXIF orientation", "px"),
    column("exif", pa.string(), "EXIF of the served image as a JSON object, without its GPS block"),
    column("sha256", pa.string(), "sha256 of the bytes as served, hex"),
]

# Ours: what a request was like. Not in the json members, which hold what img2dataset tells.
ACCOUNT = [
    column("final_url", pa.string(), "URL of the last request, after redirects; null where none was made"),
    column("content_type", pa.string(), "Content-Type of the last response, as sent"),
    column("bytes_read", pa.int64(), "body bytes received, as sent, over redirects and all attempts", "bytes"),
    column("duration_s", pa.float32(), "time that its requests took, all attempts together, pauses not counted", "s"),
    column("attempts", pa.int32(), "attempts made; 0: it was not asked for"),
    column("image_fetched_at", pa.timestamp("us", "UTC"), "when its last attempt ended"),
    column("reencoded", pa.bool_(), "false where the stored JPEG has the served pixels, only its metadata taken away"),
]

# Carried through from the pool, ahead of img2dataset's own, as its `save_additional_columns` does.
CARRIED = [field for field in POOL if field.name not in {"url", "text", "sample_rank", "n_records"}]

SHARDS = table(
    "One pair that was tried; beside it the tar with {key}.jpg, .json and .txt of the successes. "
    "Columns ahead of caption are those that the pool (or foreign metadata) has.",
    [*CARRIED, *IMG2DATASET, *ACCOUNT],
)
