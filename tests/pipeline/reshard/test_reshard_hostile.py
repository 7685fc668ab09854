"""Tars that are cut short, damaged or meant to do harm: what can be read is kept, what cannot is counted."""

import io
import json
import tarfile

import numpy as np
import pytest

from pipeline.reshard.stretches import members_of
from pipeline.reshard.walk import Walk
from schemas.errors import UserError


def json_of(make, number, **told):
    return json.dumps({"uid": make.uid(number), **told}).encode()


def walked(path):
    with path.open("rb") as file:
        walk = Walk(file)
        return list(walk), walk


def test_a_tar_that_is_cut_short_gives_what_it_holds_and_is_called_partial(shards, make):
    tar = shards.tar("00000.tar", [member for number in range(10) for member in make.sample(number)])
    whole, _ = walked(tar)
    shards.tar("00001.tar", make.sample(30))
    with tar.open("r+b") as file:
        file.truncate(whole[6].start + 520)  # in the image of sample 6
    shards.choose(range(60))
    manifest = shards.run()
    assert shards.keys() == [f"{make.uid(number)}-0" for number in [*range(6), 30]]
    assert [report.path for report in manifest.partial_inputs] == [str(tar)]
    assert manifest.counts["samples_in"] == 7


def test_a_sample_in_which_a_tar_breaks_off_is_dropped_and_counted(shards, make):
    tar = shards.tar("00000.tar", [member for number in range(4) for member in make.sample(number)])
    samples, _ = walked(tar)
    last = samples[-1]
    with tar.open("r+b") as file:
        file.truncate(last.start + last.length - 1024)  # its image and json are there, its txt is not
    shards.choose(range(60))
    counts = shards.run().counts
    assert (counts["cut_off"], counts["rows_out"], counts["samples_in"]) == (1, 3, 4)


def test_a_tar_without_its_end_keeps_every_sample(shards, make):
    tar = shards.tar("00000.tar", [member for number in range(4) for member in make.sample(number)])
    samples, _ = walked(tar)
    with tar.open("r+b") as file:
        file.truncate(samples[-1].start + samples[-1].length)
    shards.choose(range(60))
    manifest = shards.run()
    assert manifest.counts["rows_out"] == 4
    assert "no end-of-archive mark" in manifest.partial_inputs[0].error


def test_a_tar_that_is_cut_in_what_fills_up_its_last_block_keeps_every_sample(shards, make):
    tar = shards.tar("00000.tar", [member for number in range(4) for member in make.sample(number)])
    samples, _ = walked(tar)
    with tar.open("r+b") as file:
        file.truncate(samples[-1].start + samples[-1].length - 100)
    shards.choose(range(60))
    manifest = shards.run()
    assert manifest.counts["rows_out"] == 4
    assert "no end-of-archive mark" in manifest.partial_inputs[0].error
    assert dict(shards.members())[f"{make.uid(3)}-0.txt"] == b"caption 3"


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"\xff" * 4096])
def test_what_is_no_tar_is_a_failed_input(shards, make, content):
    shards.tar("00000.tar", make.sample(1))
    (shards.folder / "00001.tar").write_bytes(content)
    shards.choose([1])
    manifest = shards.run()
    assert [report.path for report in manifest.failed_inputs] == [str(shards.folder / "00001.tar")]
    assert manifest.counts["rows_out"] == 1


def test_samples_without_json_or_uid_are_counted(shards, make):
    members = [
        ("a.jpg", b"x"),
        ("b.json", b"not json"),
        ("c.json", b'{"uid": "xyz"}'),
        ("d.json", b'["uid"]'),
        ("e.json", b'{"uid": 5}'),
        ("f.json", b"[" * 100_000),
        *make.sample(1),
    ]
    shards.tar("00000.tar", members)
    shards.choose([1])
    counts = shards.run().counts
    assert (counts["no_json"], counts["no_uid"], counts["rows_out"]) == (1, 5, 1)


def test_keys_never_become_names(shards, make):
    evil = ["../../../tmp/evil", "/etc/evil", "ev\\il", "e\x1b[31mvil", "é"]
    shards.folder.joinpath("00000.tar").write_bytes(b"")
    with tarfile.open(shards.folder / "00000.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        for number, key in enumerate(evil):
            for suffix, content in (("jpg", b"picture"), ("json", json_of(make, number))):
                header = tarfile.TarInfo(f"{key}.{suffix}")
                header.size = len(content)
                archive.addfile(header, io.BytesIO(content))
    shards.choose(range(60))
    shards.run()
    names = [name for name, _ in shards.members()]
    assert names == [f"{make.uid(number)}-0.{suffix}" for number in range(5) for suffix in ("jpg", "json")]


def test_members_with_odd_suffixes_are_dropped_and_counted(shards, make):
    odd = ["sh;rm", "j pg", "_private", "x" * 60, "é", "..", "-rf"]
    with tarfile.open(shards.folder / "00000.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        for suffix in ["JPG", "seg.png", *odd, "json"]:
            content = json_of(make, 1) if suffix == "json" else b"some"
            header = tarfile.TarInfo(f"a.{suffix}")
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    shards.choose([1, 1])
    counts = shards.run().counts
    assert [name for name, _ in shards.members()] == [
        f"{make.uid(1)}-{copy}.{suffix}" for copy in (0, 1) for suffix in ("jpg", "json", "seg.png")
    ]
    assert counts["odd_members"] == 2 * len(odd)


def test_a_suffix_that_comes_again_begins_another_sample(shards, make):
    members = [("a.jpg", b"one"), ("a.json", json_of(make, 1)), ("a.jpg", b"two"), ("a.json", json_of(make, 2))]
    shards.tar("00000.tar", members)
    shards.choose([1, 2])
    shards.run()
    assert [content for name, content in shards.members() if name.endswith("jpg")] == [b"one", b"two"]


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_folders_links_and_long_names_are_in_nobodys_way(shards, make, form):
    long = f"{'folder/' * 12}{'k' * 90}"
    with tarfile.open(shards.folder / "00000.tar", "w", format=form) as archive:

        def add(name, content=b"", kind=tarfile.REGTYPE):
            header = tarfile.TarInfo(name)
            header.size, header.type = len(content), kind
            header.linkname = "/etc/passwd" if kind == tarfile.SYMTYPE else ""
            archive.addfile(header, io.BytesIO(content))

        add("folder", kind=tarfile.DIRTYPE)
        add(f"{long}.jpg", b"picture")
        add("link.jpg", kind=tarfile.SYMTYPE)
        add("README")
        add(f"{long}.json", json_of(make, 1))
        for name, content in make.sample(2):
            add(name, content)
    shards.choose([1, 2])
    manifest = shards.run()
    assert not manifest.partial_inputs
    names = [name for name, _ in shards.members()]
    assert names == [f"{make.uid(1)}-0.{s}" for s in ("jpg", "json")] + [f"{make.uid(2)}-0.{s}" for s in ("jpg", "json", "txt")]
    assert dict(shards.members())[f"{make.uid(1)}-0.jpg"] == b"picture"


def test_a_header_that_goes_backwards_ends_a_tar(shards, make):
    tar = shards.tar("00000.tar", [*make.sample(1), *make.sample(2)])
    samples, _ = walked(tar)
    content = bytearray(tar.read_bytes())
    head = memoryview(content)[samples[1].start :][:512]
    head[124:136] = b"\xff" * 10 + b"\xfe\x00"  # base 256, below zero
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    tar.write_bytes(content)
    shards.choose([1, 2])
    manifest = shards.run()
    assert shards.keys() == [f"{make.uid(1)}-0"]
    assert len(manifest.partial_inputs) == 1


def test_a_sample_above_the_limit_is_dropped_and_counted(shards, make, monkeypatch):
    monkeypatch.setattr("pipeline.reshard.walk.MEMBER_LIMIT_BYTES", 4096)
    members = [("a.jpg", b"x" * 5000), ("a.json", json_of(make, 1)), *make.sample(2)]
    shards.tar("00000.tar", members)
    shards.choose([1, 2])
    assert shards.run().counts["too_large"] == 1
    assert shards.keys() == [f"{make.uid(2)}-0"]


def test_a_tar_that_became_shorter_after_it_was_looked_through_costs_its_shards_only(shards, make, monkeypatch):
    shards.fill(shards=2)
    shards.choose(range(40))
    from pipeline.reshard import flow

    planned = flow._planned

    def and_cut(*words):
        found = planned(*words)
        (shards.folder / "00001.tar").write_bytes(b"")
        return found

    monkeypatch.setattr(flow, "_planned", and_cut)
    manifest = shards.run()
    assert [report.path for report in manifest.failed_inputs] == ["00000002", "00000003"]
    assert "became shorter" in manifest.failed_inputs[0].error
    assert len(shards.keys()) == 20


@pytest.mark.parametrize(
    "content", [b"", b"\x93NUMPY", b"123456789", b"\xff" * 16 + b"\0" * 16], ids=["empty", "cut", "odd", "unsorted"]
)
def test_what_is_no_subset_is_refused(shards, content):
    shards.fill(shards=1)
    shards.subset.write_bytes(content)
    with pytest.raises(UserError, match=r"subset\.npy: "):
        shards.run()
    assert not shards.out.exists()


def test_a_subset_of_other_numbers_is_refused(shards):
    shards.fill(shards=1)
    np.save(shards.subset, np.arange(4))
    with pytest.raises(UserError, match="dtype int64"):
        shards.run()


def test_the_members_of_a_stretch_are_sorted_as_webdataset_sorts_them(make):
    from pipeline.download.layout import write_tar

    target = io.BytesIO()
    write_tar(target, [("k.txt", b"t"), ("k.jpg", b"j"), ("k.cls", b"c")])
    found = members_of(target.getvalue()[: 6 * 512])
    assert (found.key, list(found.contents), found.odd) == ("k", ["cls", "jpg", "txt"], 0)
