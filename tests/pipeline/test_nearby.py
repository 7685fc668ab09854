"""Files that tasks need: published beside the output for as long as the work lasts, copied near once per machine."""

import os
import tempfile
from concurrent.futures import ThreadPoolExecutor

import fsspec
import pytest

from pipeline.nearby import near, published
from schemas.errors import UserError


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(b"what every task reads")
    return str(path)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A temporary folder of its own, as another machine has."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "machine"))
    (tmp_path / "machine").mkdir()
    near.cache_clear()
    yield tmp_path / "machine"
    near.cache_clear()


def read(path):
    with open(path, "rb") as file:
        return file.read()


def test_on_a_shared_disk_the_published_copy_itself_is_near_and_goes_with_the_work(source, tmp_path):
    out = tmp_path / "out"
    with published(str(out), [source]) as (there,):
        os.remove(source)  # the tasks may run where it never was
        assert near(there).startswith(str(out))
        assert read(near(there)) == b"what every task reads"
    assert list(out.iterdir()) == []


def test_work_that_fails_leaves_nothing(source, tmp_path):
    with pytest.raises(ZeroDivisionError), published(str(tmp_path / "out"), [source]):
        raise ZeroDivisionError
    assert list((tmp_path / "out").iterdir()) == []


def test_from_a_store_it_is_copied_to_a_machine_once_for_all_that_ask(source, machine):
    with published("memory://pool", [source]) as (there,):
        with ThreadPoolExecutor(8) as pool:
            places = set(pool.map(near.__wrapped__, [there] * 8))
        (place,) = places
        assert place.startswith(str(machine))
        assert read(place) == b"what every task reads"
        stamp = os.stat(place).st_mtime_ns
        near.cache_clear()
        assert near(there) == place
        assert os.stat(place).st_mtime_ns == stamp
    assert not fsspec.filesystem("memory").exists("/pool/_needed")


def test_content_that_was_damaged_on_the_way_is_refused_and_not_kept(source, machine):
    with published("memory://pool", [source]) as (there,):
        fsspec.filesystem("memory").pipe_file(there, b"what no task reads!!!")
        with pytest.raises(UserError, match="its content is damaged"):
            near(there)
    assert [path.name for path in machine.rglob("*model.bin")] == []


@pytest.mark.parametrize("mode", [0o777, 0o770])
def test_a_folder_that_others_can_write_to_is_not_trusted(source, machine, mode):
    folder = machine / f"webpairs-{os.getuid()}"
    folder.mkdir()
    folder.chmod(mode)
    with published("memory://pool", [source]) as (there,), pytest.raises(UserError, match="is not this user's alone"):
        near(there)


def test_nothing_to_publish_makes_no_folder(tmp_path):
    with published(str(tmp_path / "out"), []) as copies:
        assert copies == []
    assert not (tmp_path / "out").exists()
