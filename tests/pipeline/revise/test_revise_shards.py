"""Shards of the old revision → of the new: what went is in no file of theirs; all else is as it was, byte for byte."""

import hashlib
import json
import shutil
import tarfile
from io import BytesIO

import fsspec
import pyarrow.parquet as pq
import pytest

from pipeline.download.layout import write_tar
from pipeline.revise import ReviseConfig, run
from schemas.errors import UserError
from tests.pipeline.release.making import make_release, row
from tests.pipeline.revise.making import entries_of, make_shards, revised, rows_of, sums, verified

ROWS = [row(number) for number in range(30)]
FAILED = [row(90, domain="gone.example"), row(91, domain="site001.example")]


@pytest.fixture
def release(tmp_path):
    return make_release(tmp_path / "one", ROWS, file_rows=10, subsets={"all": [each["uid"] for each in ROWS]})


@pytest.fixture
def shards(tmp_path):
    return make_shards(tmp_path / "shards", ROWS, failed=FAILED)


def contents(path):
    with tarfile.open(path) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}


def both(tmp_path, release, shards, *entries, **options):
    new = {"shards": str(shards), "shards_out": str(tmp_path / "new shards")}
    return revised(release, tmp_path / "two", *entries, folder=tmp_path, **new, **options), tmp_path / "new shards"


def test_samples_and_failed_rows_go_and_all_else_stays(tmp_path, release, shards):
    manifest, new = both(tmp_path, release, shards, [ROWS[3]["url"], "gone.example", ROWS[4]["sha256"]])
    was, now = contents(shards / "00000.tar"), contents(new / "00000.tar")
    assert list(now) == [name for name in was if not name.startswith(("000000003.", "000000004."))]
    assert now == {name: was[name] for name in now}
    left = pq.read_table(new / "00000.parquet").to_pylist()
    old = pq.read_table(shards / "00000.parquet").to_pylist()
    assert left == [each for number, each in enumerate(old) if number not in {3, 4, 10}]
    stats = json.loads((new / "00000_stats.json").read_text())
    assert (stats["count"], stats["successes"], stats["failed_to_download"], stats["duration"]) == (9, 8, 1, 1.5)
    assert stats["status_dict"] == {"http_404": 1, "success": 8}
    assert json.loads((new / "sizes.json").read_text()) == {"00000.tar": 8, "00001.tar": 10, "00002.tar": 10}
    for name in ("00001.tar", "00001.parquet", "00001_stats.json", "00002.tar"):
        assert (new / name).read_bytes() == (shards / name).read_bytes()
        assert (new / name).stat().st_ino == (shards / name).stat().st_ino
    assert (manifest.counts["shards_rewritten"], manifest.counts["shard_rows_removed"]) == (1, 3)
    assert (new / "00000.tar").stat().st_size % tarfile.RECORDSIZE == 0
    entries = [ROWS[3]["url"], "gone.example", ROWS[4]["sha256"]]
    verified(tmp_path / "two", entries, folder=tmp_path, shards=str(new))
    with pytest.raises(UserError, match=r"3 of .* rows, samples and subset entries"):
        verified(tmp_path / "two", entries, folder=tmp_path, shards=str(shards))


def test_a_pair_that_went_from_the_release_goes_from_the_shards(tmp_path, release, shards):
    """Only the release knows its perceptual hash; the shards have its uid."""
    _, new = both(tmp_path, release, shards, ROWS[12]["phash"])
    assert "000010002" not in {name.partition(".")[0] for name in contents(new / "00001.tar")}
    assert ROWS[12]["uid"] not in pq.read_table(new / "00001.parquet")["uid"].to_pylist()


def test_what_only_a_sidecar_knows_of_an_image_takes_its_row_out_of_the_release(tmp_path, release):
    digest = hashlib.md5(b"as served").hexdigest()
    shards = make_shards(tmp_path / "shards", ROWS, md5=lambda each: digest if each is ROWS[20] else "0" * 32)
    _, new = both(tmp_path, release, shards, digest)
    assert [each["uid"] for each in rows_of(tmp_path / "two")] == [
        each["uid"] for each in rows_of(release) if each["uid"] != ROWS[20]["uid"]
    ]
    assert ROWS[20]["uid"] not in entries_of(tmp_path / "two/subsets/all.npy")
    assert pq.read_table(tmp_path / "two/ledger/00002.parquet")["reason"].to_pylist() == ["content"]
    verified(tmp_path / "two", digest, folder=tmp_path, shards=str(new), parent=str(release))


def test_shards_without_uids_or_sidecars_are_known_by_caption_and_url(tmp_path, release, shards):
    for path in sorted(shards.glob("*.parquet"))[1:]:
        path.unlink()
    table = pq.read_table(shards / "00000.parquet").drop_columns(["uid"])
    pq.write_table(table, shards / "00000.parquet")
    _, new = both(tmp_path, release, shards, [ROWS[5]["uid"], ROWS[25]["uid"]])
    assert not [name for name in contents(new / "00000.tar") if name.startswith("000000005.")]
    assert not [name for name in contents(new / "00002.tar") if name.startswith("000020005.")]
    assert pq.read_table(new / "00000.parquet").num_rows == 11


def test_a_tar_of_another_kind_keeps_its_other_bytes(tmp_path, release):
    """Long names, folders and PAX headers: what stays is not packed anew."""
    shards = make_shards(tmp_path / "shards", ROWS[:10])
    old = contents(shards / "00000.tar")
    with tarfile.open(shards / "00000.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        folder = tarfile.TarInfo("a-folder/")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, data in old.items():
            told = tarfile.TarInfo(name.replace("0000", "ü" * 60, 1))
            told.size, told.mtime = len(data), 1.25
            tar.addfile(told, BytesIO(data))
    was = contents(shards / "00000.tar")
    _, new = both(tmp_path, release, shards, ROWS[3]["uid"])
    now = contents(new / "00000.tar")
    assert now == {name: data for name, data in was.items() if "00003." not in name}
    with tarfile.open(new / "00000.tar") as tar:
        assert {member.mtime for member in tar if member.isfile()} == {1.25}


def test_a_damaged_tar_leaves_no_folder_that_counts_as_whole(tmp_path, release, shards):
    data = (shards / "00001.tar").read_bytes()
    (shards / "00001.tar").write_bytes(data[:5000])
    with pytest.raises(UserError, match=r"00001\.tar: damaged tar"):
        both(tmp_path, release, shards, ROWS[3]["uid"])
    assert not (tmp_path / "new shards/_manifest.json").exists()
    (shards / "00001.tar").write_bytes(data)
    with pytest.raises(UserError, match="made with another configuration"):
        both(tmp_path, release, shards, ROWS[3]["uid"])
    shutil.rmtree(tmp_path / "new shards")
    _, new = both(tmp_path, release, shards, ROWS[3]["uid"])
    assert (new / "_manifest.json").exists()


@pytest.mark.parametrize("place", ["tar", "failed row"])
def test_a_remnant_in_a_tar_alone_or_in_a_failed_row_alone_is_found(tmp_path, release, shards, capsys, place):
    reason = {"tar": "url", "failed row": "domain"}[place]
    entries = [ROWS[3]["url"], "gone.example"]
    revised(release, tmp_path / "two", entries, folder=tmp_path)
    table = pq.read_table(shards / "00000.parquet")
    gone = {3, 10} if place == "tar" else {3}
    pq.write_table(table.take([number for number in range(len(table)) if number not in gone]), shards / "00000.parquet")
    if place == "failed row":
        left = [(name, data) for name, data in contents(shards / "00000.tar").items() if not name.startswith("000000003.")]
        with (shards / "00000.tar").open("wb") as file:
            write_tar(file, left)
    with pytest.raises(UserError, match=rf"1 of .*\(1 by {reason}\)"):
        verified(tmp_path / "two", entries, folder=tmp_path, shards=str(shards))
    assert f"shard 00000: 1 of 11 remain: 1 by {reason}" in capsys.readouterr().out


def test_holders_of_an_old_revision_follow_by_the_ledger_alone(tmp_path, release, shards):
    """No list is needed: shards and subsets of their own are translated by what the new revision's ledgers name."""
    revised(release, tmp_path / "two", [ROWS[3]["url"], "site004.example"], folder=tmp_path)
    revised(tmp_path / "two", tmp_path / "three", ROWS[11]["uid"], folder=tmp_path)
    own = tmp_path / "own.npy"
    own.write_bytes((release / "subsets/all.npy").read_bytes())
    manifest = run(
        ReviseConfig(
            release=str(tmp_path / "three"),
            shards=str(shards),
            shards_out=str(tmp_path / "followed"),
            subsets=(str(own),),
            subsets_out=str(tmp_path / "subsets"),
        )
    )
    assert manifest.counts["shard_rows_removed_by_pair"] == 7
    assert entries_of(tmp_path / "subsets/own.npy") == entries_of(tmp_path / "three/subsets/all.npy")
    left = [uid for path in sorted((tmp_path / "followed").glob("*.parquet")) for uid in pq.read_table(path)["uid"].to_pylist()]
    assert sorted(left) == sorted([*(each["uid"] for each in rows_of(tmp_path / "three")), *(each["uid"] for each in FAILED)])
    verified(tmp_path / "three", folder=tmp_path, shards=str(tmp_path / "followed"), subsets=(str(tmp_path / "subsets/own.npy"),))
    with pytest.raises(UserError, match="by ledger"):
        verified(tmp_path / "three", folder=tmp_path, shards=str(shards))


def test_folders_of_an_object_store_give_the_same_bytes(tmp_path, release, shards):
    """fsspec's memory:// stands for one: nothing can be linked, renamed at once or read by a descriptor there."""
    entries = [ROWS[3]["url"], "site004.example"]
    _, new = both(tmp_path, release, shards, entries)
    store = fsspec.filesystem("memory")
    for path in (*release.rglob("*"), *shards.rglob("*")):
        if path.is_file():
            store.pipe(f"/revise/{path.relative_to(tmp_path)}", path.read_bytes())
    places = {"shards": "memory://revise/shards", "shards_out": "memory://revise/new"}
    revised("memory://revise/one", "memory://revise/two", entries, folder=tmp_path, **places)
    for here, there in ((tmp_path / "two", "/revise/two"), (new, "/revise/new")):
        found = {name: hashlib.sha256(store.cat(name)).hexdigest() for name in store.find(there) if "/_" not in name}
        assert found == {f"{there}/{name}": digest for name, digest in sums(here).items() if not name.startswith("_")}
    verified("memory://revise/two", entries, folder=tmp_path, parent="memory://revise/one", shards="memory://revise/new")
    store.rm("/revise", recursive=True)


def test_a_first_revision_has_no_ledger_to_follow(tmp_path, release, shards):
    with pytest.raises(UserError, match="no ledger to follow; give lists"):
        run(ReviseConfig(release=str(release), shards=str(shards), shards_out=str(tmp_path / "x")))
