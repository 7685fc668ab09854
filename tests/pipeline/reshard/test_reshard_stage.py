"""The stage: weights, missing shards, workers, resumption, and what stands beside the shards."""

import json
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.samples import made_uid
from schemas.errors import UsageError, UserError
from schemas.subsets import uids_to_array


def test_a_sample_is_written_as_often_as_its_uid_is_in_the_subset(shards, make):
    shards.fill()
    shards.choose([3, 3, 3, 25, 59])
    manifest = shards.run()
    assert shards.keys() == [f"{make.uid(3)}-0", f"{make.uid(3)}-1", f"{make.uid(3)}-2", f"{make.uid(25)}-0", f"{make.uid(59)}-0"]
    assert [content for name, content in shards.members() if name.endswith(".txt")] == [
        *[b"caption 3"] * 3,
        b"caption 25",
        b"caption 59",
    ]
    counts = {"rows_out": 5, "samples_in": 60, "samples_kept": 3, "not_in_subset": 57, "uids_not_found": 0}
    assert counts.items() <= manifest.counts.items()


def test_copies_of_a_sample_go_on_in_the_next_shard(shards):
    shards.fill(shards=1)
    shards.choose([4] * 25)
    shards.run()
    sizes = [json.loads((shards.out / f"{number:08d}_stats.json").read_bytes())["successes"] for number in range(3)]
    assert sizes == [10, 10, 5]


def test_uids_that_no_shard_has_and_samples_that_share_one_are_counted(shards, make):
    shards.tar("00000.tar", [*make.sample(1), *make.sample(2)])
    shards.tar("00001.tar", make.sample(1))
    shards.choose([1, 1, 900, 901, 901])
    manifest = shards.run()
    assert manifest.counts["uids_not_found"] == 2
    assert manifest.counts["repeated_samples"] == 1
    assert shards.keys() == [f"{make.uid(1)}-0", f"{make.uid(1)}-1"]
    assert len(shards.members()) == 12


@pytest.mark.parametrize("settings", [{}, {"shuffle_bufsize": 32, "seed": 4}])
def test_the_number_of_workers_changes_nothing(shards, settings):
    shards.fill(sidecars=True)
    shards.choose([*range(0, 60, 2), 4, 4])
    shards.run(**settings)
    other = shards.root / "other"
    shards.run(**settings, num_workers=3, output_dir=str(other))
    assert shards.written() == shards.written(other)


def test_shards_are_taken_by_number_and_missing_ones_are_told(shards, make, capsys):
    for number in (2, 3, 5, 10, 11):
        shards.tar(f"part-{number}.tar", make.sample(number))
    shards.choose(range(20))
    manifest = shards.run(first_shard=3, num_shards=9)
    assert shards.keys() == [f"{make.uid(number)}-0" for number in (3, 5, 10, 11)]
    assert manifest.counts["missing_shards"] == 5
    assert manifest.facts["missing_shards"] == ["4", "6-9"]
    assert "missing shards (5): 4, 6-9" in capsys.readouterr().err


def test_without_a_count_every_shard_is_taken_beyond_gaps_too(shards, make, capsys):
    for number in (0, 7):
        shards.tar(f"{number:08d}.tar", make.sample(number))
    shards.choose(range(20))
    assert shards.run(shard_format="{:08d}.tar", quiet=True).counts["missing_shards"] == 6
    assert shards.keys() == [f"{make.uid(0)}-0", f"{make.uid(7)}-0"]
    assert capsys.readouterr().err == ""


def test_shards_need_not_end_in_tar(shards, make):
    for number in range(3):
        shards.tar(f"part.{number:03d}", [member for each in (0, 1) for member in make.sample(2 * number + each)])
    shards.choose(range(6))
    shards.run(shard_format="part.{:03d}")
    assert shards.keys() == [f"{make.uid(number)}-0" for number in range(6)]


def test_no_shard_of_that_name_is_an_error(shards):
    shards.fill()
    shards.choose([1])
    with pytest.raises(UserError, match=r"no shards named like 00000000\.tar"):
        shards.run(shard_format="{:08d}.tar")


def test_shards_with_other_numbers_of_samples_than_told_are_called_partial(shards):
    shards.fill()
    (shards.folder / "00001_stats.json").write_text('{"successes": 21}')
    (shards.folder / "sizes.json").write_text('{"00000.tar": 20, "00002.tar": 19}')
    shards.choose([1])
    partial = shards.run().partial_inputs
    assert [report.error for report in partial] == [
        "holds 20 samples where 00001_stats.json says 21",
        "holds 20 samples where the shard table says 19",
    ]


def test_the_table_of_output_shards_is_open_clips(shards):
    shards.fill()
    shards.choose(range(25))
    shards.run(write_shard_table=True)
    assert json.loads((shards.out / "sizes.json").read_bytes()) == {"00000000.tar": 10, "00000001.tar": 10, "00000002.tar": 5}
    assert not (shards.folder / "sizes.json").exists()


def test_output_names_follow_their_formats(shards):
    shards.fill(shards=1)
    shards.choose(range(15))
    shards.run(output_shard_format="c{:03d}.tar", output_shard_stats_format="c{:03d}.stats")
    assert set(shards.written()) == {"c000.tar", "c001.tar", "c000.stats", "c001.stats", "sample_ids.npy"}


@pytest.mark.parametrize("form", ["same.tar", "../{:08d}.tar", "_{:08d}.tar", "{:d", "{x}.tar"])
def test_a_format_that_makes_no_file_names_is_refused(shards, form):
    shards.fill(shards=1)
    shards.choose([1])
    with pytest.raises(UsageError, match="--output-shard-format"):
        shards.run(output_shard_format=form)
    assert not shards.out.exists()


@pytest.mark.parametrize("form", ["{:08d}.tar", "{:08d}.parquet"])
def test_stats_are_not_written_over_a_shard_or_its_sidecar(shards, form):
    shards.fill(shards=1, sidecars=True)
    shards.choose([1])
    with pytest.raises(UsageError, match="the name of a shard or its sidecar; give another"):
        shards.run(output_shard_stats_format=form)


def test_rows_of_sidecars_come_along_under_the_new_keys(shards, make):
    shards.fill(sidecars=True)
    shards.choose([59, 3, 3])
    shards.run(shuffle_bufsize=8)
    rows = pq.read_table(shards.out / "00000000.parquet").to_pylist()
    widths = {f"{make.uid(3)}-0": 103, f"{make.uid(3)}-1": 103, f"{make.uid(59)}-0": 159}
    assert {row["key"]: row["width"] for row in rows} == widths
    assert [row["key"] for row in rows] == shards.keys()


def test_a_damaged_sidecar_costs_its_rows_only(shards):
    shards.fill(shards=2, sidecars=True)
    (shards.folder / "00001.parquet").write_bytes(b"not parquet")
    shards.choose([3, 30])
    manifest = shards.run()
    assert [row["width"] for row in pq.read_table(shards.out / "00000000.parquet").to_pylist()] == [103, None]
    assert manifest.counts["no_sidecar_row"] == 1
    assert [report.path for report in manifest.partial_inputs] == [str(shards.folder / "00001.parquet")]


def test_a_subset_of_nothing_that_is_there_gives_no_shards(shards):
    shards.fill(shards=1)
    shards.choose([900])
    counts = shards.run().counts
    assert (counts["rows_out"], counts["uids_not_found"]) == (0, 1)
    assert set(shards.written()) == {"sample_ids.npy"}


def test_a_dry_run_writes_nothing_and_says_what_would_be(shards):
    shards.fill()
    shards.choose([1, 1, 50, 900])
    counts = shards.run(dry_run=True, overwrite=True).counts
    assert (counts["rows_out"], counts["samples_kept"], counts["uids_not_found"]) == (3, 2, 1)
    assert not shards.out.exists()
    assert sorted(path.name for path in shards.root.iterdir()) == ["in", "subset.npy"]


def test_a_folder_with_other_files_is_left_alone_unless_it_is_to_be_overwritten(shards):
    shards.fill()
    shards.choose([1])
    (shards.out / "mine").mkdir(parents=True)
    (shards.out / "mine" / "kept.txt").touch()
    (shards.out / "00000007.tar").write_bytes(b"old")
    with pytest.raises(UserError, match="not empty"):
        shards.run()
    shards.run(overwrite=True)
    assert set(shards.written()) == {"00000000.tar", "00000000_stats.json", "sample_ids.npy"}
    assert (shards.out / "mine" / "kept.txt").exists()


def test_another_subset_or_other_inputs_are_refused_and_overwrite_starts_anew(shards, make):
    shards.fill()
    shards.choose([1])
    shards.run()
    shards.choose([1, 2])
    with pytest.raises(UserError, match=r"another configuration.*subset"):
        shards.run()
    shards.choose([1])
    shards.tar("00003.tar", make.sample(60))
    with pytest.raises(UserError, match=r"another configuration.*inputs"):
        shards.run()
    shards.choose([2])
    shards.run(overwrite=True)
    assert shards.keys() == [f"{make.uid(2)}-0"]


def test_reading_and_writing_one_folder_is_refused(shards):
    shards.fill()
    shards.choose([1])
    with pytest.raises(UsageError, match="the folder that reshard reads"):
        shards.run(output_dir=str(shards.folder), overwrite=True)
    with pytest.raises(UsageError, match="would be written over"):
        shards.run(output_dir=str(shards.root), overwrite=True)
    assert shards.subset.exists()


def test_a_second_run_makes_nothing_again(shards):
    shards.fill()
    shards.choose(range(40))
    shards.run()
    before = {path.name: path.stat().st_mtime_ns for path in shards.out.glob("*.tar")}
    assert shards.run(num_workers=2).parts_resumed == 4
    assert {path.name: path.stat().st_mtime_ns for path in shards.out.glob("*.tar")} == before


def test_shards_that_an_input_changes_are_made_again_when_it_can_be_read(shards):
    shards.fill()
    tar = shards.folder / "00001.tar"
    content = tar.read_bytes()
    tar.write_bytes(bytes(range(256)) * (len(content) // 256))
    shards.choose(range(60))
    assert [report.path for report in shards.run().failed_inputs] == [str(tar)]
    assert len(shards.keys()) == 40
    tar.write_bytes(content)
    manifest = shards.run()
    assert not manifest.failed_inputs
    assert manifest.parts_resumed == 2
    other = shards.root / "other"
    shards.run(output_dir=str(other))
    assert shards.written() == shards.written(other)


SLOW = """
    import sys, time
    from pipeline.reshard import write
    from pipeline.reshard import ReshardConfig, run

    made = write.write_tar

    def paced(members):
        for member in members:
            time.sleep(0.01)
            yield member

    write.write_tar = lambda file, members: made(file, paced(members))
    run(ReshardConfig(input_dir=sys.argv[1], output_dir=sys.argv[2], subset_file=sys.argv[3], shard_size=10))
"""


def test_a_run_that_is_killed_goes_on_to_the_same_bytes(shards):
    shards.fill()
    shards.choose(range(60))
    words = [str(shards.folder), str(shards.out), str(shards.subset)]
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(SLOW), *words])
    until = time.monotonic() + 60
    while not (shards.out / "_parts" / "00000001.json").exists():
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(0.1)  # into the next shard
    process.send_signal(signal.SIGKILL)
    process.wait()
    stood = len(list(shards.out.glob("_parts/*.json")))
    assert 2 <= stood < 6
    assert shards.run().parts_resumed == stood
    other = shards.root / "other"
    shards.run(output_dir=str(other))
    assert shards.written() == shards.written(other)
    assert not list(shards.out.rglob("_tmp*"))


@pytest.mark.parametrize("in_text", [True, False])
def test_a_sample_that_tells_no_uid_has_that_of_its_caption_and_url(shards, in_text):
    """As img2dataset writes it without being asked for uids, and as `score` reads it."""
    told = {"url": "https://a.example/1.jpg", "caption": "other" if in_text else "a fox"}
    text = [("a.txt", b"a fox")] if in_text else []
    shards.tar("00000.tar", [("a.jpg", b"picture"), ("a.json", json.dumps(told).encode()), *text])
    uid = made_uid("a fox", told["url"])
    np.save(shards.subset, uids_to_array([uid]))
    shards.run()
    assert shards.keys() == [f"{uid}-0"]
