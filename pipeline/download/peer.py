"""The engine img2dataset: the library downloads the whole pool with the same settings, and its shards are taken over.

The library runs in a process of its own: it reads http_proxy from the environment, sets signal handlers, and prints. What it
cannot carry is translated on the way: a time among the additional columns would leave its tars empty, so it goes as text.
"""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import io
from pipeline.download.config import DownloadConfig
from pipeline.download.layout import sidecar_schema
from pipeline.download.outcomes import OTHER, SUCCESS
from pipeline.download.plan import ShardPart, read_rows
from pipeline.download.tally import report, told_by_tld
from pipeline.manifest import Manifest, PartReport
from pipeline.optout import REFUSALS
from pipeline.stage import Part, PartFolder, begin, done_parts, run_stage
from schemas.errors import UserError

_WORKPLACE = "_img2dataset"
# Run by a Python of its own; the settings come on its standard input.
_PROGRAM = "import json, sys; from img2dataset import download; download(**json.load(sys.stdin))"
_LAST_LINES = 5
# Parts of the library's messages, and our names for what they tell.
_MESSAGES = {
    "X-Robots-Tag": "opt_out",
    "timed out": "timeout",
    "Connection refused": "refused",
    "Name or service not known": "dns",
    "name resolution": "dns",
    "CERTIFICATE_VERIFY_FAILED": "tls",
    "IncompleteRead": "reset",
    "unknown url type": "unsupported_scheme",
    "Image decoding error": "corrupt",
}


def run_img2dataset(config: DownloadConfig, parts: Sequence[ShardPart]) -> Manifest:
    """Download what is not done yet with img2dataset, and take its shards over.

    Raises UserError where the library is not installed or stops with an error.
    """
    if importlib.util.find_spec("img2dataset") is None:
        raise UserError("--engine img2dataset: the library is not installed; pip install 'webpairs[img2dataset]'")
    with begin("download", config, out=config.out, upstream=(config.pool,)):
        done = done_parts(config.out, parts)
        todo = [part for part in parts if part.name not in done]
        if not all(io.exists(f"{_library_shard(config, part)}_stats.json") for part in todo):
            for part in parts:
                prepare(part, config)
            download(config, parts[0].carried)
        manifest = run_stage("download", config, parts, take_over, out=config.out, upstream=(config.pool,), facts=told_by_tld)
        if not manifest.failed_inputs:
            _clear(config.out)
        return manifest


def take_over(config: DownloadConfig, part: Part, folder: PartFolder) -> PartReport:
    """A shard of the library's as one of ours: the tar as it is, the sidecar in order of key and in the schema's types."""
    assert isinstance(part, ShardPart)  # noqa: S101 - the stage plans no other parts
    source = _library_shard(config, part)
    if not io.exists(f"{source}_stats.json"):
        raise UserError(f"{source}: img2dataset did not finish this shard; run the same command again")
    for ending in (".tar", "_stats.json"):
        with io.open_read(source + ending) as file, folder.open(part.name + ending) as copy:
            shutil.copyfileobj(file, copy)
    samples = _read_sidecar(f"{source}.parquet")
    table = pa.Table.from_pylist(samples, schema=sidecar_schema(part.carried))
    with folder.open(f"{part.name}.parquet") as file:
        pq.write_table(table, file)
    outcomes = Counter((sample["status"], _reason(sample)) for sample in samples)
    return report(part, table, outcomes, {"urls": len(samples)})


def prepare(part: ShardPart, config: DownloadConfig) -> None:
    """The shard's rows as an input file of the library: one file per shard, so that both engines cut alike."""
    path = io.join(config.out, _WORKPLACE, "input", f"{part.name}.parquet")
    if io.exists(path):
        return
    rows = read_rows(part)
    for number, field in enumerate(rows.schema):
        if pa.types.is_timestamp(field.type):
            times = [value and value.isoformat() for value in rows[field.name].to_pylist()]
            rows = rows.set_column(number, field.name, pa.array(times, pa.string()))
    with io.atomic_write(path) as file:
        pq.write_table(rows, file)


def download(config: DownloadConfig, carried: Sequence[pa.Field]) -> None:
    """Run the library on what is prepared. Raises UserError with its last lines where it stops with an error."""
    settings = {
        "url_list": io.join(config.out, _WORKPLACE, "input"),
        "input_format": "parquet",
        "url_col": "url",
        "caption_col": "caption",
        "save_additional_columns": [field.name for field in carried],
        "output_folder": io.join(config.out, _WORKPLACE, "shards"),
        "output_format": "webdataset",
        "image_size": config.image_size,
        "resize_mode": config.resize_mode,
        "resize_only_if_bigger": not config.enlarge,
        "upscale_interpolation": config.upscale,
        "downscale_interpolation": config.downscale,
        "encode_format": config.encode_format,
        "encode_quality": config.encode_quality,
        "skip_reencode": not config.reencode,
        "min_image_size": config.min_image_size,
        **({"max_image_area": config.max_image_area} if config.max_image_area else {}),
        **({"max_aspect_ratio": config.max_aspect_ratio} if config.max_aspect_ratio else {}),
        "number_sample_per_shard": config.samples_per_shard,
        "timeout": config.timeout_s,
        "retries": config.retries,
        "processes_count": config.workers,
        "thread_count": config.concurrency,
        "compute_hash": "sha256",
        "disallowed_header_directives": list(REFUSALS),
        "user_agent_token": "img2dataset",  # by which X-Robots-Tag may address it
    }
    io.make_folder(str(settings["output_folder"]))
    done = subprocess.run(  # noqa: S603 - our own interpreter and a constant program
        [sys.executable, "-c", _PROGRAM],
        input=json.dumps(settings),
        env=_environment(config.proxy),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = "; ".join(done.stderr.strip().splitlines()[-_LAST_LINES:])
        raise UserError(f"img2dataset stopped with status {done.returncode}: {last!r}")


def _library_shard(config: DownloadConfig, part: Part) -> str:
    """The path of a shard's files in the library's own folder, without their endings."""
    return io.join(config.out, _WORKPLACE, "shards", part.name)


def _environment(proxy: str | None) -> dict[str, str]:
    """As ours, but only --proxy decides on a proxy, and nothing asks the network for newer versions."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    given = {"http_proxy": proxy, "https_proxy": proxy} if proxy else {"no_proxy": "*"}
    return {**kept, **given, "NO_ALBUMENTATIONS_UPDATE": "1", "WANDB_MODE": "disabled"}


def _read_sidecar(path: str) -> list[dict[str, Any]]:
    with io.open_read(path) as file:
        table = pq.read_table(file)
    samples: list[dict[str, Any]] = table.take(pc.sort_indices(table["key"])).to_pylist()
    for sample in samples:
        if sample.get("fetched_at"):
            sample["fetched_at"] = datetime.fromisoformat(sample["fetched_at"])
    return samples


def _reason(sample: dict[str, Any]) -> str | None:
    """The library's messages are free text: those that are known are counted under our names, the rest together."""
    if sample["status"] == SUCCESS:
        return None
    message = str(sample["error_message"])
    code = re.match(r"HTTP Error (\d{3}):", message)
    return f"http_{code[1]}" if code else next((reason for part, reason in _MESSAGES.items() if part in message), OTHER)


def _clear(out: str) -> None:
    fs, path = io.arrow_filesystem(io.join(out, _WORKPLACE))
    if fs.exists(path):
        fs.rm(path, recursive=True)
