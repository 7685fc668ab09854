"""Decoding processes: what they see, in which order, and what is lost when they are killed."""

import io
import os
import signal
import tarfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import pipeline.torchvision_ops  # noqa: F401 - before open_clip, which imports torchvision

# isort: split
import open_clip

from pipeline.samples import Located, TarReader
from pipeline.score.decoding import tokens
from pipeline.score.decoding.decoders import Decoders
from pipeline.score.decoding.image import BrokenImageError
from pipeline.score.decoding.pixels import Recipe, picture_of
from pipeline.score.decoding.reading import batches
from pipeline.score.decoding.seeing import Chunk, Sight
from pipeline.score.decoding.slab import Slab
from schemas.errors import UserError

RECIPE = Recipe(size_px=(32, 32), resize_mode="shortest", interpolation="bicubic", fill_color=0, exact=False)


def lengths(texts: Sequence[str]) -> torch.Tensor:
    """A tokenizer that kills its process on one text."""
    if any("deadly" in text for text in texts):
        os.kill(os.getpid(), signal.SIGKILL)
    return torch.tensor([[len(text), 1] for text in texts])


def dying(_: Sequence[str]) -> torch.Tensor:
    """A tokenizer that kills its process."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


@pytest.fixture
def decoders() -> Iterator[Decoders]:
    slab = Slab([RECIPE.size_px], slots=8, buffers=2)
    made = Decoders(Sight(slab=slab, recipes=(RECIPE,), tokenizers=(lengths,)), 2)
    yield made
    made.close()


def seen(decoders: Decoders, tar: Path, path: str | None) -> tuple[list[str], list[np.ndarray], list[int], list[tuple[str, str]]]:
    """Keys, pixels and token of what was seen, in order; keys and reasons of what was dropped."""
    keys, pixels, tokens, dropped = [], [], [], []
    with tar.open("rb") as file:
        for batch in batches(TarReader(file), {}, decoders, path=path):
            keys += batch.seen.rows["key"].to_pylist()
            pixels += list(decoders.sight.slab.pixels(batch.buffer, 0)[batch.seen.slots].copy())
            tokens += [int(each[0]) for array in batch.seen.tokens for each in array]
            dropped += [(each.key, each.reason) for each in batch.seen.dropped]
    return keys, pixels, tokens, dropped


@pytest.mark.parametrize("located", [True, False])
def test_batches_hold_samples_in_the_tars_order(decoders, tmp_path: Path, request: pytest.FixtureRequest, *, located: bool):
    sample, picture, write_tar = (request.getfixturevalue(name) for name in ("sample", "picture", "write_tar"))
    broken = {5, 8, 16}
    members = [m for i in range(30) for m in sample(i, **({"jpg": b"broken"} if i in broken else {}), txt=b"x" * i)]
    tar = write_tar(tmp_path / "a.tar", members)
    keys, pixels, tokens, dropped = seen(decoders, tar, str(tar) if located else None)
    good = [i for i in range(30) if i not in broken]
    assert keys == [f"{i:09d}" for i in good]
    assert tokens == good
    assert dropped == [(f"{i:09d}", "broken_image") for i in sorted(broken)]
    for i, array in zip(good, pixels, strict=True):
        assert np.array_equal(array, picture_of(picture(i), [RECIPE]).seen[0])


def test_a_sample_that_kills_its_decoder_is_dropped_by_name_and_no_other(decoders, tmp_path: Path, sample, write_tar):
    members = [m for i in range(20) for m in sample(i, txt=b"deadly" if i in {3, 17} else b"x" * i)]
    tar = write_tar(tmp_path / "a.tar", members)
    keys, pixels, tokens, dropped = seen(decoders, tar, str(tar))
    good = [i for i in range(20) if i not in {3, 17}]
    assert keys == [f"{i:09d}" for i in good]
    assert tokens == good
    assert sorted(dropped) == [("000000003", "decoder_died"), ("000000017", "decoder_died")]
    assert len(pixels) == 18


def test_decoders_that_are_killed_from_outside_cost_nothing(decoders, tmp_path: Path, sample, write_tar):
    tar = write_tar(tmp_path / "a.tar", [m for i in range(40) for m in sample(i)])
    keys = []
    with tar.open("rb") as file:
        for number, batch in enumerate(batches(TarReader(file), {}, decoders, path=str(tar))):
            keys += batch.seen.rows["key"].to_pylist()
            if number == 1:
                for process in list(decoders._pool._processes.values()):
                    os.kill(process.pid, signal.SIGKILL)
    assert keys == [f"{i:09d}" for i in range(40)]


def test_what_was_given_up_does_not_come_to_stand_among_the_next_tars_pixels(
    decoders, tmp_path: Path, request: pytest.FixtureRequest
):
    sample, picture, write_tar = (request.getfixturevalue(name) for name in ("sample", "picture", "write_tar"))
    given_up = write_tar(tmp_path / "a.tar", [m for i in range(100, 140) for m in sample(i, jpg=picture(i, size=(900, 700)))])
    wanted = write_tar(tmp_path / "b.tar", [m for i in range(20) for m in sample(i)])
    for _ in range(3):
        with given_up.open("rb") as file, closing(batches(TarReader(file), {}, decoders, path=str(given_up))) as found:
            next(found)
        keys, pixels, _, _ = seen(decoders, wanted, str(wanted))
        assert keys == [f"{i:09d}" for i in range(20)]
        assert all(np.array_equal(array, picture_of(picture(i), [RECIPE]).seen[0]) for i, array in enumerate(pixels))


def test_a_slab_is_not_sent_to_a_process_that_runs():
    slab = Slab([(4, 4)], slots=2, buffers=2)
    slab.pixels(1, 0)[:] = 7
    assert slab.pixels(0, 0).sum() == 0
    assert slab.pixels(1, 0).shape == (2, 4, 4, 3)
    slab.close()


@given(st.lists(st.integers(0, 2000), max_size=6), st.integers(0, 12_000))
def test_located_samples_are_those_that_are_read(sizes: list[int], cut: int):
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as archive:
        for i, size in enumerate(sizes):
            for suffix in ("jpg", "txt"):
                header = tarfile.TarInfo(f"{i // 2}.{suffix if i % 2 else suffix.upper()}")
                header.size = size
                archive.addfile(header, io.BytesIO(os.urandom(size)))
    descriptor = os.memfd_create("tar")
    try:
        os.write(descriptor, whole.getvalue()[:cut] if cut < 10_000 else whole.getvalue())
        with open(f"/proc/self/fd/{descriptor}", "rb") as one, open(f"/proc/self/fd/{descriptor}", "rb") as two:
            plain, located = TarReader(one), TarReader(two)
            samples = list(plain)
            assert [each.read(descriptor) for each in located.located()] == samples
        assert bool(plain.damage) == bool(located.damage)
    finally:
        os.close(descriptor)


def test_a_member_over_the_limit_is_not_located(tmp_path: Path, write_tar, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pipeline.samples.MEMBER_LIMIT_BYTES", 100)
    with write_tar(tmp_path / "a.tar", [("1.jpg", bytes(101)), ("1.txt", b"a")]).open("rb") as file:
        (found,) = TarReader(file).located()
        assert isinstance(found, Located)
        assert found.members["jpg"] is None
        assert found.read(file.fileno()).members == {"jpg": None, "txt": b"a"}


@pytest.mark.parametrize("before", [b"", b"x" * 700])
def test_a_header_with_a_negative_size_ends_the_tar(tmp_path: Path, before: bytes):
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, content in (("0.jpg", before), ("1.jpg", b"")):
            header = tarfile.TarInfo(name)
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    block = bytearray(whole.getvalue())
    at = 512 + -(-len(before) // 512) * 512
    block[at + 124 : at + 136] = b"\xff" * 10 + b"\xfc\x00"  # -1024, in base 256
    block[at + 148 : at + 156] = b" " * 8
    block[at + 148 : at + 155] = b"%06o\0" % sum(block[at : at + 512])
    (tmp_path / "a.tar").write_bytes(block)
    with (tmp_path / "a.tar").open("rb") as file:
        for reading in (TarReader.located, iter):
            file.seek(0)
            reader = TarReader(file)
            assert len(list(reading(reader))) == 1
            assert "negative size" in reader.damage


def test_a_jpeg_of_endless_passes_is_broken(monkeypatch: pytest.MonkeyPatch):
    made = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(made, "JPEG", progressive=True)
    assert picture_of(made.getvalue(), [RECIPE]).rgb.shape == (256, 256, 3)
    monkeypatch.setattr("pipeline.score.decoding.image.MOST_SCANNED_PX", 4 * 256 * 256)
    with pytest.raises(BrokenImageError, match="passes"):
        picture_of(made.getvalue(), [RECIPE])


def test_decoders_that_cannot_live_fail_the_shard(tmp_path: Path, sample, write_tar):
    slab = Slab([RECIPE.size_px], slots=8, buffers=2)
    made = Decoders(Sight(slab=slab, recipes=(RECIPE,), tokenizers=(dying,)), 1)
    tar = write_tar(tmp_path / "a.tar", [m for i in range(4) for m in sample(i)])
    with pytest.raises(UserError, match="die on whatever they are given"):
        seen(made, tar, str(tar))
    made.close()


def test_long_words_are_cut_and_what_a_tokenizer_keeps_is_bounded(monkeypatch: pytest.MonkeyPatch):
    tokenizer = open_clip.get_tokenizer("ViT-B-32")
    plain = ["two words", "x" * 900, "née " * 3000]
    expected = tokenizer(plain).numpy()
    monkeypatch.setattr(tokens, "_MOST_WORDS", 3)
    for _ in range(2):
        assert np.array_equal(tokens.tokens_of(tokenizer, plain), expected)
        assert set(tokenizer.cache) == {"<start_of_text>", "<end_of_text>"}
    started = time.monotonic()
    tokens.tokens_of(tokenizer, ["y" * 1_000_000])
    assert time.monotonic() - started < 5  # uncut it takes hours


def test_a_chunk_without_samples_is_empty(decoders):
    number = decoders.submit(Chunk(path=None, samples=(), told=(), buffer=0, slot=0))
    assert len(decoders.result(number).rows) == 0
