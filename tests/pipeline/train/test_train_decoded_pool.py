"""The decoded pool: made once, shared, as open_clip would have decoded it."""

import io
from multiprocessing import get_context

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.train.decode import decode_image
from pipeline.train.pool import decoded_pool
from schemas.errors import UserError
from schemas.subsets import array_to_uids


def tokenizer(texts):
    """Letters as tokens: (n, 8) int64."""
    return torch.tensor([[ord(letter) for letter in f"{text:<8}"[:8]] for text in texts])


def make(shards, root, workers=1):
    return decoded_pool(str(shards), str(root), image_size_px=16, tokenizer=tokenizer, workers=workers)


def test_images_tokens_and_uids_stand_in_the_order_of_the_shards(shards, tmp_path):
    pool = make(shards, tmp_path)
    assert pool.images.shape == (199, 16, 16, 3)
    assert pool.images.dtype == np.uint8
    assert pool.tokens.shape == (199, 8)
    assert bytes(pool.tokens[0].tolist()).decode() == "a red sq"
    assert len(array_to_uids(pool.uids)) == 199


def test_an_image_that_cannot_be_read_is_left_out_and_counted(shards, tmp_path):
    assert make(shards, tmp_path).counts == {"rows_in": 200, "rows_out": 199, "dropped_broken_image": 1}


@pytest.mark.parametrize("size", [(48, 40), (31, 77), (32, 32), (300, 33), (10, 200)])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "CMYK"])
def test_decoding_is_open_clip_s_own_transform_before_its_normalisation(demo_clip, size, mode):
    clip = demo_clip
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(out, "TIFF")
    ours = torch.from_numpy(decode_image(out.getvalue(), clip.image_size_px).copy()).float() / 255
    ours = ((ours - torch.tensor(clip.mean)) / torch.tensor(clip.std)).permute(2, 0, 1)
    assert torch.allclose(ours, clip.preprocess(Image.open(io.BytesIO(out.getvalue()))), atol=1e-5)


def test_a_pool_that_stands_is_not_made_again(shards, tmp_path):
    make(shards, tmp_path)
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    before = (folder / "images.npy").stat().st_mtime_ns
    make(shards, tmp_path)
    assert (folder / "images.npy").stat().st_mtime_ns == before
    assert not (folder / "parts").exists()


def test_a_pool_that_was_cut_short_is_completed(shards, tmp_path):
    whole = make(shards, tmp_path / "whole").images
    make(shards, tmp_path / "cut")
    (folder,) = (path for path in (tmp_path / "cut").iterdir() if path.is_dir())
    (folder / "complete.json").unlink()
    (folder / "images.npy").write_bytes(b"half")
    assert np.array_equal(make(shards, tmp_path / "cut").images, whole)


def test_two_runs_that_start_together_make_one_whole_pool(shards, tmp_path):
    reference = make(shards, tmp_path / "alone")
    context = get_context("fork")
    processes = [context.Process(target=make, args=(shards, tmp_path / "shared")) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    pool = make(shards, tmp_path / "shared")
    assert np.array_equal(pool.images, reference.images)
    assert np.array_equal(pool.uids, reference.uids)


def test_other_shards_are_another_pool(shards, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "00000.tar").write_bytes((shards / "00000.tar").read_bytes())
    make(shards, tmp_path / "root")
    assert len(make(other, tmp_path / "root").uids) == 99


def test_shards_with_nothing_to_train_on_are_told_in_one_line(tmp_path):
    (tmp_path / "00000.tar").write_bytes(b"not a tar")
    with pytest.raises(UserError, match="no pair to train on"):
        make(tmp_path, tmp_path / "root")
