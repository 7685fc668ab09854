"""The decoded pool: made once, shared, resumed after a kill, checked by hash."""

import errno
import hashlib
import io
import json
import os
import signal
import tarfile
import time
from multiprocessing import get_context

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.train.decoded import decode
from pipeline.train.decoded.pool import decoded_pool
from schemas.errors import UserError
from schemas.subsets import array_to_uids

FORK = get_context("fork")


def tokenizer(texts):
    """Letters as tokens: (n, 8) int64."""
    return torch.tensor([[ord(letter) for letter in f"{text:<8}"[:8]] for text in texts])


def uid_of(number):
    return hashlib.md5(f"pair {number}".encode()).hexdigest()


def jpeg(size=(40, 32)):
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(size).integers(0, 256, (*size[::-1], 3)).astype(np.uint8)).save(out, "JPEG")
    return out.getvalue()


def write_shard(folder, shard, numbers, image=None):
    """{shard}.tar of the pairs `numbers`, one after another, each with the same image."""
    image = jpeg() if image is None else image
    with tarfile.open(folder / f"{shard:05d}.tar", "w") as tar:
        for number in numbers:
            told = json.dumps({"uid": uid_of(number)}).encode()
            for suffix, content in {"jpg": image, "txt": f"pair {number}".encode(), "json": told}.items():
                header = tarfile.TarInfo(f"{number:09d}.{suffix}")
                header.size = len(content)
                tar.addfile(header, io.BytesIO(content))


def make(shards, root, workers=1):
    return decoded_pool(str(shards), str(root), image_size_px=16, tokenizer=tokenizer, workers=workers)


def folder_of(root):
    (folder,) = (path for path in root.iterdir() if path.is_dir())
    return folder


def looks(root, pattern="shards/*.u8"):
    """Name → inode and time of change: what tells a file that was written anew."""
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder_of(root).glob(pattern)}


def same(one, other):
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("images", "tokens", "uids"))


def test_images_tokens_and_uids_stand_in_the_order_of_the_shards(shards, tmp_path):
    pool = make(shards, tmp_path)
    assert pool.images.shape == (199, 16, 16, 3)
    assert pool.images.dtype == np.uint8
    assert (pool.tokens.shape, pool.tokens.dtype) == ((199, 8), np.int32)
    assert bytes(pool.tokens[0].tolist()).decode() == "a red sq"
    assert array_to_uids(pool.uids) == [uid_of(number) for number in range(200) if number != 7]
    assert [report.status for report in pool.inputs] == ["ok", "ok"]


def test_an_image_that_cannot_be_read_is_left_out_and_counted(shards, tmp_path):
    assert make(shards, tmp_path).counts == {"rows_in": 200, "rows_out": 199, "dropped_broken_image": 1}


def test_several_workers_make_what_one_makes(shards, tmp_path):
    assert same(make(shards, tmp_path / "one"), make(shards, tmp_path / "two", workers=2))


def test_a_pool_that_stands_is_not_made_again(shards, tmp_path):
    make(shards, tmp_path)
    before = looks(tmp_path, "**/*")
    make(shards, tmp_path)
    assert looks(tmp_path, "**/*") == before


def test_sizes_and_tokenizers_have_pools_of_their_own(shards, tmp_path):
    def longer(texts):
        return torch.cat([tokenizer(texts)] * 2, dim=1)

    for size, words in ((16, tokenizer), (24, tokenizer), (16, longer)):
        pool = decoded_pool(str(shards), str(tmp_path), image_size_px=size, tokenizer=words)
        assert (pool.images.shape[1], pool.tokens.shape[1]) == (size, words([""]).shape[1])
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 3


def test_two_runs_that_start_together_make_one_whole_pool(shards, tmp_path):
    reference = make(shards, tmp_path / "alone")
    processes = [FORK.Process(target=make, args=(shards, tmp_path / "shared")) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    before = looks(tmp_path / "shared", "**/*")
    assert same(make(shards, tmp_path / "shared"), reference)
    assert looks(tmp_path / "shared", "**/*") == before


@pytest.fixture(scope="module")
def slow_shards(tmp_path_factory):
    """8 shards of 10 pairs with images that take some milliseconds each."""
    folder, image = tmp_path_factory.mktemp("slow"), jpeg((900, 800))
    for shard in range(8):
        write_shard(folder, shard, range(shard * 10, shard * 10 + 10), image)
    return folder


def test_a_killed_run_is_taken_up_and_what_was_done_is_not_done_again(slow_shards, tmp_path):
    process = FORK.Process(target=make, args=(slow_shards, tmp_path))
    process.start()
    while process.is_alive() and len(list(tmp_path.glob("*/shards/_parts/*.json"))) < 3:
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    done = looks(tmp_path)
    assert 3 <= len(done) < 8
    pool = make(slow_shards, tmp_path)
    after = looks(tmp_path)
    again = [name for name in done if after[name] != done[name]]
    assert len(again) <= 1  # the one whose report was not written yet
    assert same(pool, make(slow_shards, tmp_path / "alone"))


def test_a_run_killed_before_the_end_is_completed_without_decoding(shards, tmp_path):
    whole = make(shards, tmp_path / "whole")
    make(shards, tmp_path / "cut")
    folder, before = folder_of(tmp_path / "cut"), looks(tmp_path / "cut")
    (folder / "complete.json").unlink()
    (folder / "tokens.npy").write_bytes(b"half")
    assert same(make(shards, tmp_path / "cut"), whole)
    assert looks(tmp_path / "cut") == before


def flip(path, at=-5):
    """Change one bit, and give the file the time that it had."""
    content, before = bytearray(path.read_bytes()), path.stat()
    content[at] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize("harm", [flip, cut, os.remove])
@pytest.mark.parametrize("name", ["shards/00001.u8", "shards/00001.rows", "tokens.npy", "uids.npy", "complete.json"])
def test_what_was_damaged_is_made_again_and_nothing_else(shards, tmp_path, name, harm):
    reference, root = make(shards, tmp_path / "reference"), tmp_path / "harmed"
    make(shards, root)
    shards_before = looks(root)
    harm(folder_of(root) / name)
    assert same(pool := make(shards, root), reference)
    assert (pool.counts, pool.inputs) == (reference.counts, reference.inputs)
    again = {each for each, look in looks(root).items() if look != shards_before[each]}
    assert again == ({"00001.u8"} if name.startswith("shards/") else set())


def test_a_pool_is_verified_when_it_was_made_and_after_it_was_copied_only(shards, tmp_path, monkeypatch):
    from pipeline.train.decoded import checks as pool_checks

    hashed, hash_of = [], pool_checks._hash_of
    monkeypatch.setattr(pool_checks, "_hash_of", lambda path: hashed.append(path.name) or hash_of(path))
    make(shards, tmp_path)
    assert sorted(hashed) == ["00000.rows", "00000.u8", "00001.rows", "00001.u8", "tokens.npy", "uids.npy"]
    hashed.clear()
    make(shards, tmp_path)
    assert hashed == []
    path = folder_of(tmp_path) / "shards" / "00000.u8"
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)
    make(shards, tmp_path)
    assert hashed == ["00000.u8"]


def test_a_stamp_of_another_file_is_not_believed(shards, tmp_path):
    whole = make(shards, tmp_path)
    folder = folder_of(tmp_path)
    stamps = json.loads((folder / "verified.json").read_text())
    flip(folder / "shards" / "00000.u8")
    stamps["shards/00000.u8"] = stamps["shards/00001.u8"]
    (folder / "verified.json").write_text(json.dumps(stamps))
    assert same(make(shards, tmp_path), whole)


def test_stamps_that_cannot_be_read_cost_a_verification(shards, tmp_path):
    whole = make(shards, tmp_path)
    (folder_of(tmp_path) / "verified.json").write_bytes(b"[1, {")
    assert same(make(shards, tmp_path), whole)


def test_a_disk_that_gives_other_bytes_than_were_written_is_told_in_one_line(shards, tmp_path, monkeypatch):
    from pipeline.train.decoded import checks as pool_checks

    monkeypatch.setattr(pool_checks, "_hash_of", lambda path: "0" * 64)
    with pytest.raises(UserError, match=r"not what was written .*; check the disk"):
        make(shards, tmp_path)


def test_other_shards_are_another_pool(shards, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "00000.tar").write_bytes((shards / "00000.tar").read_bytes())
    make(shards, tmp_path / "root")
    assert len(make(other, tmp_path / "root").uids) == 99


def test_a_shard_without_samples_adds_nothing(tmp_path):
    write_shard(tmp_path, 0, [])
    write_shard(tmp_path, 1, range(3))
    write_shard(tmp_path, 2, [])
    pool = make(tmp_path, tmp_path / "root")
    assert array_to_uids(pool.uids) == [uid_of(number) for number in range(3)]
    assert np.asarray(pool.images).shape == (3, 16, 16, 3)


def test_of_a_tar_that_is_cut_what_can_be_read_is_taken_and_the_rest_told(tmp_path):
    write_shard(tmp_path, 0, range(10))
    write_shard(tmp_path, 1, range(10, 20))
    tar = tmp_path / "00001.tar"
    with tarfile.open(tar) as archive:
        fourth = archive.getmember("000000013.jpg")
    tar.write_bytes(tar.read_bytes()[: fourth.offset_data + 20])
    pool = make(tmp_path, tmp_path / "root")
    assert len(pool.uids) == 13
    assert [report.status for report in pool.inputs] == ["ok", "partial"]


def test_a_shard_that_is_no_tar_costs_itself_only(tmp_path):
    write_shard(tmp_path, 0, range(5))
    (tmp_path / "00001.tar").write_bytes(b"not a tar")
    pool = make(tmp_path, tmp_path / "root")
    assert len(pool.uids) == 5
    assert [report.status for report in pool.inputs] == ["ok", "failed"]
    assert same(make(tmp_path, tmp_path / "root"), pool)


def failing_once(monkeypatch, name):
    """Have a disk fail at one file until the patch is undone."""
    real = decode.io.open_read

    def open_read(path):
        if path.endswith(name):
            raise OSError(errno.EIO, "Input/output error")
        return real(path)

    monkeypatch.setattr(decode.io, "open_read", open_read)


def test_a_shard_that_could_not_be_read_once_is_tried_again_alone(tmp_path, monkeypatch):
    (tmp_path / "shards").mkdir()
    for shard in range(2):
        write_shard(tmp_path / "shards", shard, range(10 * shard, 10 * shard + 10))
    with monkeypatch.context() as patch:
        failing_once(patch, "00001.tar")
        one = make(tmp_path / "shards", tmp_path / "pool")
        before = (folder_of(tmp_path / "pool") / "complete.json").stat().st_ino
        assert len(make(tmp_path / "shards", tmp_path / "pool").uids) == 10
        assert (folder_of(tmp_path / "pool") / "complete.json").stat().st_ino == before  # nothing new is not written down
    kept = looks(tmp_path / "pool")
    both = make(tmp_path / "shards", tmp_path / "pool")
    assert [report.status for report in both.inputs] == ["ok", "ok"]
    assert array_to_uids(both.uids) == [uid_of(number) for number in range(20)]
    assert looks(tmp_path / "pool")["00000.u8"] == kept["00000.u8"]
    assert np.array_equal(one.images[:], both.images[:10])  # a run that has opened the pool before reads on
    assert np.array_equal(one.tokens, both.tokens[:10])


def test_shards_with_nothing_to_train_on_are_told_in_one_line(tmp_path):
    (tmp_path / "00000.tar").write_bytes(b"not a tar")
    with pytest.raises(UserError, match="no pair to train on"):
        make(tmp_path, tmp_path / "root")


def test_threads_of_torch_are_as_they_were(shards, tmp_path):
    before = torch.get_num_threads()
    make(shards, tmp_path)
    assert torch.get_num_threads() == before
