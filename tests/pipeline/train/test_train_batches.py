"""Batches: the same whoever makes them, wherever one starts, in however many processes."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.train.decoded.images import Images
from pipeline.train.decoded.pool import DecodedPool
from pipeline.train.feeding.batches import batches
from pipeline.train.feeding.crops import crop_boxes, cropped
from pipeline.train.feeding.order import Order
from pipeline.train.feeding.sources import AHEAD, Filling, Resident, Sent, Streamed, fits_on_card
from schemas.errors import UserError

SIDE = 8


@dataclass
class Eyes:
    """What `batches` looks at in a Clip."""

    device: str = "cpu"
    mean: tuple[float, ...] = (0.5, 0.4, 0.3)
    std: tuple[float, ...] = (0.2, 0.3, 0.4)


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    """37 pairs in three shards, one of them empty; a pair's number is its first token."""
    folder, rng = tmp_path_factory.mktemp("pool"), np.random.default_rng(0)
    tokens = rng.integers(0, 99, (37, 4)).astype(np.int32)
    tokens[:, 0] = np.arange(37)
    files = [str(folder / f"{shard}.u8") for shard in range(3)]
    for file, rows in zip(files, (20, 0, 17), strict=True):
        rng.integers(0, 256, (rows, SIDE, SIDE, 3)).astype(np.uint8).tofile(file)
    images = Images(files, (20, 0, 17), (SIDE, SIDE, 3))
    return DecodedPool(images=images, tokens=tokens, uids=np.empty(37, "u8,u8"), counts={}, inputs=())


def made(pool, order, steps=range(4), **options):
    options = {"batch_size": 6, **options}
    return list(batches(Eyes(), pool, order, first_step=steps.start, n_steps=len(steps), **options))


def same(some, others):
    pairs = zip(some, others, strict=True)
    return all(torch.equal(images, others) and torch.equal(tokens, more) for (images, tokens), (others, more) in pairs)


def test_a_batch_holds_the_rows_of_its_place_in_the_order_normalised_as_the_model_wants_it(pool):
    order = Order(np.array([3, 5, 5, 30]), seed=1)
    ((images, tokens),) = made(pool, order, range(2, 3))
    rows = order.batch(12, 6)
    assert tokens.tolist() == pool.tokens[rows].tolist()
    assert (images.shape, images.dtype, tokens.dtype) == ((6, 3, SIDE, SIDE), torch.float32, torch.int64)
    expected = (pool.images[rows] / 255 - np.array(Eyes.mean)) / np.array(Eyes.std)
    assert np.allclose(images.numpy(), expected.transpose(0, 3, 1, 2), atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(
    order=st.builds(Order, st.lists(st.integers(0, 36), min_size=1).map(np.array), st.integers(0, 99)),
    first=st.integers(0, 9),
    size=st.integers(1, 50),
    crop=st.sampled_from([1.0, 0.5]),
)
def test_starting_at_a_later_step_gives_what_going_through_from_the_first_gives(pool, order, first, size, crop):
    whole = made(pool, order, range(first + 2), batch_size=size, crop_scale=crop)
    again = Order(order.index, order.seed)
    assert same(made(pool, again, range(first, first + 2), batch_size=size, crop_scale=crop), whole[first:])


@pytest.mark.parametrize("crop", [1.0, 0.5])
@pytest.mark.parametrize("world", [2, 3, 4])
def test_processes_together_see_what_one_alone_sees(pool, world, crop):
    order = Order(np.arange(30), seed=2)
    parts = [made(pool, order, batch_size=12, rank=rank, world=world, crop_scale=crop) for rank in range(world)]
    together = [tuple(torch.cat(each) for each in zip(*step, strict=True)) for step in zip(*parts, strict=True)]
    assert same(together, made(pool, order, batch_size=12, crop_scale=crop))


def test_a_pool_on_the_card_gives_what_one_that_is_streamed_gives(pool):
    wanted = np.array([2, 3, 19, 20, 36])
    rows = [np.array([36, 2, 2]), np.array([20, 19, 3])]
    resident, streamed = (list(each.batches(rows)) for each in (Resident(pool, wanted, "cpu"), Streamed(pool, "cpu")))
    assert same(resident, streamed)
    assert [pair[1][:, 0].tolist() for pair in resident] == [[36, 2, 2], [20, 19, 3]]


class LateLane:
    """A lane that copies a buffer only when it is waited for: one that is written too early is sent wrong."""

    def __init__(self):
        self.buffers = 0

    def buffer(self, shape, dtype):
        self.buffers += 1
        return torch.empty(shape, dtype=dtype)

    def send(self, pair):
        return Sent(tuple(torch.empty_like(each) for each in pair), pair)

    def wait_for(self, sent):
        for there, here in zip(sent.pair, sent.copied, strict=True):
            there.copy_(here)


def test_a_buffer_is_not_written_before_what_was_in_it_is_on_the_card(pool):
    rows = [np.random.default_rng(step).integers(0, 37, 9 if step < 8 else 4) for step in range(10)]
    with ThreadPoolExecutor(4) as gatherers:
        fill = Filling(pool, lane := LateLane(), gatherers)
        sent = [fill(some) for some in rows]
    for each in sent[-AHEAD - 1 :]:
        lane.wait_for(each)
    assert same(
        [each.pair for each in sent],
        [(torch.from_numpy(pool.images[some]), torch.from_numpy(pool.tokens[some])) for some in rows],
    )
    assert lane.buffers == 2 * (AHEAD + 1 + 2)  # for images and for tokens; of the smaller batches anew


def test_a_pool_that_takes_more_than_its_share_of_the_card_is_not_laid_there():
    assert fits_on_card(40, 100)
    assert not fits_on_card(41, 100)


def threads():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("batches")]


def test_the_thread_that_reads_ahead_is_one_batch_ahead_and_ends_when_nobody_takes_more(pool):
    read = []

    class Counted(Images):
        def read_into(self, rows, out):
            read.append(len(rows))
            super().read_into(rows, out)

    counted = replace(pool, images=Counted(*pool.images.__reduce__()[1]))
    taken = batches(Eyes(), counted, Order(np.arange(37), 0), first_step=0, n_steps=1000, batch_size=3)
    next(taken)
    next(taken)
    assert threads()
    taken.close()
    assert len(read) <= 3
    assert not threads()


def test_what_goes_wrong_in_the_thread_is_told_and_leaves_no_thread(pool, tmp_path):
    short = tmp_path / "short.u8"
    short.write_bytes(b"x" * 100)
    broken = replace(pool, images=Images([str(short)], [37], (SIDE, SIDE, 3)))
    with pytest.raises(UserError, match=r"short\.u8: shorter than it was"):
        made(broken, Order(np.arange(37), 0))
    assert not threads()


def test_no_crop_is_no_change_of_a_single_bit(pool):
    order = Order(np.arange(37), 0)
    assert same(made(pool, order, crop_scale=1.0), made(pool, order))


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**63), keep=st.floats(0.05, 0.99), side=st.integers(8, 64))
def test_a_crop_lies_in_the_image_and_keeps_its_share_but_for_whole_pixels(seed, keep, side):
    left, top, width, height = crop_boxes(seed, np.arange(200), side, keep).T
    assert (left >= 0).all()
    assert (top >= 0).all()
    assert (left + width <= side).all()
    assert (top + height <= side).all()
    assert ((width + 0.5) * (height + 0.5) >= keep * side**2).all()


def test_crops_hang_on_seed_and_position_and_fall_everywhere():
    boxes = crop_boxes(1, np.arange(5000), 64, 0.25)
    assert np.array_equal(crop_boxes(1, np.arange(700, 900), 64, 0.25), boxes[700:900])
    assert not np.array_equal(crop_boxes(2, np.arange(5000), 64, 0.25), boxes)
    share = boxes[:, 2] * boxes[:, 3] / 64**2
    assert 0.5 < share.mean() < 0.625  # a little under the middle: large boxes that are not square do not fit
    free = 64 - boxes[:, 2]
    assert abs((boxes[free > 0, 0] / free[free > 0]).mean() - 0.5) < 0.02


@pytest.mark.parametrize("side", [16, 33])
def test_a_crop_is_resized_as_pillow_resizes_it(side):
    images = np.random.default_rng(3).integers(0, 256, (20, side, side, 3)).astype(np.uint8)
    boxes = crop_boxes(5, np.arange(20), side, 0.2)
    ours = cropped(torch.from_numpy(images), torch.from_numpy(boxes)).numpy()
    for image, (left, top, width, height), got in zip(images, boxes.tolist(), ours, strict=True):
        crop = Image.fromarray(image).crop((left, top, left + width, top + height))
        expected = np.asarray(crop.resize((side, side), Image.Resampling.BICUBIC))
        difference = np.abs(expected.astype(int) - got)
        assert difference.max() <= 1  # Pillow computes in fixed point
        assert difference.mean() < 0.02


def test_the_images_of_a_pool_look_like_an_array(pool):
    whole = np.asarray(pool.images)
    assert whole.shape == pool.images.shape == (37, SIDE, SIDE, 3)
    for which in (4, -1 % 37, slice(18, 23), slice(None, None, 5), [3, 3, 30], whole[:, 0, 0, 0] > 100):
        assert np.array_equal(pool.images[which], whole[which])
    with pytest.raises(IndexError, match="37"):
        pool.images[[37]]


def test_more_files_than_may_be_open_are_read_all_the_same(tmp_path):
    for shard in range(600):
        (tmp_path / f"{shard}").write_bytes(bytes([shard % 256] * 3))
    images = Images([str(tmp_path / f"{shard}") for shard in range(600)], [1] * 600, (1, 1, 3))
    rows = np.random.default_rng(0).permutation(600)
    assert images[rows][:, 0, 0, 0].tolist() == (rows % 256).tolist()
