"""One shard → its images as raw uint8, its uids and tokens: what is decoded once and read by every run."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from pipeline import io
from pipeline.manifest import InputReport, PartReport
from pipeline.options import StageConfig, option
from pipeline.samples import Dropped, Pair, Sample, TarReader, pair_of, read_sidecar
from pipeline.score.decoding.pixels import BrokenImageError, decode, prepare, recipe_of
from pipeline.score.decoding.tokens import Tokenizer, tokens_of
from pipeline.stage import Part, PartFolder
from schemas.errors import UserError

_ROWS = pa.schema([pa.field("uid", pa.string(), False), pa.field("tokens", pa.list_(pa.int32()), False)])
_ROWS_AT_ONCE = 512  # captions that are tokenized together, and a row group


@dataclass(frozen=True, kw_only=True)
class DecodeConfig(StageConfig):
    """What decides the decoded images."""

    image_size_px: int = option("side of the square images")


def decode_shard(config: DecodeConfig, part: Part, folder: PartFolder, *, tokenizer: Tokenizer | None = None) -> PartReport:
    """Write {shard}.u8, n × (H, W, 3) bytes, and {shard}.rows, parquet of uid and tokens of these n samples, in the tar's order.

    Without a tokenizer the tokens are empty lists. The report's facts have `rows` and the SHA-256 of either file. Raises
    UserError for a tar of which nothing can be read.
    """
    (path,) = part.inputs
    sidecar = read_sidecar(path, ("uid", "caption"))
    drops: Counter[str] = Counter()
    pixels_hash = hashlib.sha256()
    with (
        io.open_read(path) as file,
        folder.open(f"{part.name}.u8") as pixels,
        _Rows(folder, part, tokenizer) as rows,
        _one_thread(),
    ):
        reader = TarReader(file)
        for sample in _samples(reader, path):
            seen = _seen(pair_of(sample, sidecar.get(sample.key, {})), config.image_size_px)
            if isinstance(seen, Dropped):
                drops[f"dropped_{seen.reason}"] += 1
                continue
            pair, image = seen
            pixels.write(image.data)
            pixels_hash.update(image.data)
            rows.add(pair)
    if reader.damage and not rows.count:
        raise UserError(f"{path}: not a readable tar ({reader.damage})")
    total = rows.count + sum(drops.values())
    status = InputReport(path=path, status="partial" if reader.damage else "ok", error=reader.damage, rows=total)
    facts = {"rows": rows.count, "pixels_sha256": pixels_hash.hexdigest(), "rows_sha256": rows.sha256}
    counts = {"rows_in": total, "rows_out": rows.count, **drops}
    return PartReport(name=part.name, counts=counts, inputs=(status,), facts=facts)


def _samples(reader: TarReader, path: str) -> Iterator[Sample]:
    """Of a tar on this machine headers are read for themselves, which takes a fraction of tarfile's time."""
    if not io.is_local(path):
        return iter(reader)
    return (located.read(reader.file.fileno()) for located in reader.located())


def decode_image(content: bytes | None, side_px: int) -> np.ndarray | None:
    """(side, side, 3) uint8: short side resized (bicubic), centre crop; None for what cannot be decoded, or would take too long.

    The same as open_clip's evaluation transform up to its normalisation, but for palette images: those it resizes before their
    colours are looked up, hence without interpolation.
    """
    return _decoded(content or b"", side_px, exact=True)


def decode_fast(content: bytes | None, side_px: int) -> np.ndarray | None:
    """The same within 0.01 grey levels on average, in a half to a fifth of the time: resized by torch, as `score` does."""
    return _decoded(content or b"", side_px, exact=False)


def _decoded(content: bytes, side_px: int, *, exact: bool) -> np.ndarray | None:
    try:
        seen = prepare(decode(content), recipe_of({"size": side_px}, exact=exact))
    except (BrokenImageError, MemoryError):
        return None
    return np.ascontiguousarray(seen)


def _seen(pair: Pair | Dropped, side_px: int) -> tuple[Pair, np.ndarray] | Dropped:
    if isinstance(pair, Dropped):
        return pair
    image = decode_fast(pair.image, side_px)
    return Dropped(pair.key, "broken_image") if image is None else (pair, image)


class _Rows:
    """Writes uids and tokens, some hundred at a time. When closed it has the file's SHA-256."""

    def __init__(self, folder: PartFolder, part: Part, tokenizer: Tokenizer | None) -> None:
        self._name = folder.path(f"{part.name}.rows")
        self._file = folder.open(f"{part.name}.rows")
        self._writer = pq.ParquetWriter(self._file, _ROWS, compression="zstd")
        self._tokenizer = tokenizer
        self._held: list[Pair] = []
        self.count, self.sha256 = 0, ""

    def __enter__(self) -> "_Rows":
        return self

    def add(self, pair: Pair) -> None:
        """The next row."""
        self._held.append(pair)
        self.count += 1
        if len(self._held) == _ROWS_AT_ONCE:
            self._write()

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self._write()
        self._writer.close()
        self._file.close()
        self.sha256 = hashlib.sha256(io.read_bytes(self._name)).hexdigest()

    def _write(self) -> None:
        texts = [pair.caption for pair in self._held]
        tokens = [[]] * len(texts) if self._tokenizer is None else list(tokens_of(self._tokenizer, texts))
        uids = pa.array([pair.uid for pair in self._held], pa.string())
        self._writer.write_table(pa.table([uids, pa.array(tokens, _ROWS.field("tokens").type)], schema=_ROWS))
        self._held = []


@contextmanager
def _one_thread() -> Iterator[None]:
    """Have torch resize in this thread: an image is too small to be shared out, and shards are decoded side by side."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
