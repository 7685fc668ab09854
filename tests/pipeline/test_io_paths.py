"""Paths: local and fsspec alike, nothing half-written under its name."""

import os

import pytest

from pipeline import io
from schemas.errors import UserError


def test_a_write_that_fails_leaves_nothing(tmp_path):
    def write():
        with io.atomic_write(str(tmp_path / "x")) as file:
            file.write(b"half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write()
    assert list(tmp_path.iterdir()) == []


def test_a_write_replaces_whole(tmp_path):
    target = tmp_path / "x"
    target.write_bytes(b"old")
    with io.atomic_write(str(target)) as file:
        file.write(b"new")
        file.flush()
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"


def test_atomic_write_on_an_fsspec_url():
    with io.atomic_write("memory://bucket/a/x") as file:
        file.write(b"new")
    assert io.read_bytes("memory://bucket/a/x") == b"new"
    assert [p.rsplit("/", 1)[-1] for p in io.list_files("memory://bucket/a", "")] == ["x"]


def test_files_folders_and_globs_expand_in_order_without_repeats(tmp_path):
    for name in ["b.wat.gz", "a.wat.gz", "_tmp.c.wat.gz", "notes.txt"]:
        (tmp_path / name).touch()
    patterns = (str(tmp_path / "b.wat.gz"), str(tmp_path), str(tmp_path / "*.wat.gz"))
    assert [io.stem(p) for p in io.expand(patterns, (".wat.gz",))] == ["b.wat", "a.wat"]


def test_a_pattern_that_matches_nothing_is_named(tmp_path):
    with pytest.raises(UserError, match="nowhere"):
        io.expand((str(tmp_path / "nowhere"),), (".gz",))


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        io.list_files(str(tmp_path / "nowhere"), ".parquet")


def write_new(path):
    with io.atomic_write(str(path)) as file:
        file.write(b"new")


def test_a_device_or_pipe_is_no_place_for_a_file_and_stays_what_it_is(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "link").symlink_to(pipe)
    for path in (pipe, tmp_path / "link", f"file://{pipe}"):
        with pytest.raises(UserError, match="is a device or pipe; give the name of a file to write"):
            write_new(path)
    assert pipe.is_fifo()
    assert (tmp_path / "link").is_symlink()


def test_a_folder_is_no_place_for_a_file(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="is a folder; give the name of a file to write"):
        write_new(tmp_path / "folder")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_what_a_link_points_to_is_written_and_the_link_stays(tmp_path):
    (tmp_path / "link").symlink_to("target")
    write_new(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"new"


def test_asking_whether_a_file_can_be_written_leaves_the_old_one_and_nothing_else(tmp_path):
    (tmp_path / "x").write_bytes(b"old")
    io.require_writable(str(tmp_path / "x"))
    io.require_writable("memory://asked/x")
    assert (tmp_path / "x").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert not io.exists("memory://asked/x")
    with pytest.raises(UserError, match="cannot be written"):
        io.require_writable(str(tmp_path / "x" / "below"))
