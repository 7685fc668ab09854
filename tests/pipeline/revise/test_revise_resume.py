"""A revision is whole or not there: killed and run again, begun twice, on inputs that are not what they should be."""

import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest

from pipeline.revise import ReviseConfig, run
from schemas.errors import UsageError, UserError
from tests.pipeline.release.making import make_release, row
from tests.pipeline.revise.making import lists, revised, sums

ROWS = [row(number) for number in range(60)]
ENTRIES = [each["uid"] for each in ROWS[::7]]


@pytest.fixture
def release(tmp_path):
    uids = [each["uid"] for each in ROWS]
    return make_release(tmp_path / "one", ROWS, file_rows=5, subsets={"all": uids}, arrays=3)


def command(tmp_path, release, out):
    words = ["revise", release, "--remove", *lists(tmp_path, ENTRIES), "--out", out]
    return [sys.executable, "-m", "pipeline.cli", *map(str, words)]


@pytest.mark.parametrize("seen", ["_revising/rows/00003.parquet", "data/00005.parquet", "README.md"])
def test_killed_and_run_again_it_has_the_bytes_of_one_that_was_not(tmp_path, release, seen):
    revised(release, tmp_path / "whole", ENTRIES, folder=tmp_path)
    out = tmp_path / "killed"
    process = subprocess.Popen(command(tmp_path, release, out), stdout=subprocess.DEVNULL)
    while process.poll() is None and not (out / seen).exists():
        time.sleep(0.001)
    process.kill()
    process.wait()
    done = subprocess.run(command(tmp_path, release, out), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert sums(out) == sums(tmp_path / "whole")


def test_the_same_command_again_finds_the_revision_there(tmp_path, release, capsys):
    first = revised(release, tmp_path / "two", ENTRIES, folder=tmp_path)
    before = sums(tmp_path / "two")
    again = revised(release, tmp_path / "two", ENTRIES, folder=tmp_path)
    assert "is that revision already" in capsys.readouterr().out
    assert sums(tmp_path / "two") == before
    assert again.counts["rows_removed"] == first.counts["rows_removed"] == 9


def test_workers_make_the_same_bytes(tmp_path, release):
    revised(release, tmp_path / "one worker", ENTRIES, folder=tmp_path)
    revised(release, tmp_path / "two workers", ENTRIES, folder=tmp_path, workers=2)
    assert sums(tmp_path / "one worker") == sums(tmp_path / "two workers")


def test_a_folder_that_holds_something_else_is_refused(tmp_path, release):
    (tmp_path / "two").mkdir()
    (tmp_path / "two/thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="two: not empty, and no revision of"):
        revised(release, tmp_path / "two", ENTRIES, folder=tmp_path)
    assert sums(tmp_path / "two").keys() == {"thesis.txt"}


def test_a_revision_by_other_lists_is_refused(tmp_path, release):
    revised(release, tmp_path / "two", ENTRIES, folder=tmp_path)
    before = sums(tmp_path / "two")
    with pytest.raises(UserError, match="has a revision by other lists"):
        revised(release, tmp_path / "two", ENTRIES[1:], folder=tmp_path)
    with pytest.raises(UserError, match="not empty, and no revision of"):
        revised(tmp_path / "two", release, ENTRIES[1:], folder=tmp_path)
    assert sums(tmp_path / "two") == before


@pytest.mark.parametrize("name", ["data/00002.parquet", "data/00002.npz", "subsets/all.npy"])
def test_a_release_that_is_not_as_its_checksums_say_is_not_revised(tmp_path, release, name):
    data = (release / name).read_bytes()
    (release / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(UserError, match=rf"{name}: sha256 is .*download the release again|{name}: not a subset"):
        revised(release, tmp_path / "two", ENTRIES, folder=tmp_path)
    assert not (tmp_path / "two/SHA256SUMS").exists()
    (release / name).write_bytes(data)
    revised(release, tmp_path / "two", ENTRIES, folder=tmp_path)
    assert (tmp_path / "two/SHA256SUMS").exists()


def test_a_file_that_cannot_be_read_fails_the_whole_revision_whatever_is_tolerated(tmp_path, release):
    (release / "data/00004.parquet").unlink()
    with pytest.raises(UserError, match=r"00004\.parquet: no such file; nothing was published"):
        revised(release, tmp_path / "two", ENTRIES, folder=tmp_path, tolerate_failed=1.0)
    assert not (tmp_path / "two/SHA256SUMS").exists()


def test_a_row_count_that_release_json_does_not_tell_is_refused(tmp_path, release):
    from pipeline.release.sums import read_sums, sums_of, write_sums

    path = release / "data/00001.parquet"
    pq.write_table(pq.read_table(path).slice(1), path)
    write_sums(str(release), read_sums(str(release)) | sums_of(str(release), ["data/00001.parquet"]))
    with pytest.raises(UserError, match=r"00001\.parquet: has 4 rows, release\.json says 5"):
        revised(release, tmp_path / "two", ENTRIES, folder=tmp_path)


def test_an_empty_list_is_refused_by_name(tmp_path, release):
    with pytest.raises(UserError, match=r"list1\.txt: no entry in it"):
        revised(release, tmp_path / "two", ENTRIES, ["# nothing yet", ""], folder=tmp_path)


def test_a_line_that_is_no_entry_is_named(tmp_path, release):
    with pytest.raises(UserError, match=r"list0\.txt:2: 'not an entry' .*correct it"):
        revised(release, tmp_path / "two", [ENTRIES[0], "not an entry"], folder=tmp_path)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"phash_bits": 17}, "--phash-bits 17: must be 0 to 16"),
        ({"phash_bits": -1}, "--phash-bits -1: must be 0 to 16"),
        ({}, "--remove: is missing"),
        ({"remove": ("l",)}, "--out: is missing"),
        ({"out": "o"}, "--out o: no list is given"),
        ({"remove": ("l",), "out": "o", "shards": "s"}, "--shards and --shards-out: give both"),
        ({"remove": ("l",), "out": "o", "subsets": ("s",)}, "--subsets and --subsets-out: give both"),
        ({"remove": ("l",), "out": "o", "parent": "p"}, "--parent p: it is for --verify"),
        ({"verify": True, "out": "o"}, "--out o: --verify writes nothing"),
        ({"verify": True, "shards_out": "o"}, "--shards-out o: --verify writes nothing"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, said):
    with pytest.raises(UsageError, match=said):
        ReviseConfig(release="r", **options)


def test_the_release_itself_is_no_place_for_the_next(tmp_path, release):
    with pytest.raises(UsageError, match="is the release itself"):
        run(ReviseConfig(release=str(release), out=f"{release}/../one", remove=lists(tmp_path, ENTRIES)))
    with pytest.raises(UsageError, match="is inside of the release"):
        revised(release, release / "revisions/2", ["site000.example"], folder=tmp_path)
    assert not (release / "revisions").exists()
