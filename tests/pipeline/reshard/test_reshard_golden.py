"""DataComp's own resharder on its own layout: the same samples, members, bytes, order and shards."""

import json

import numpy as np
import pytest

from pipeline.options import add_options, from_arguments, with_dashes
from pipeline.reshard import ReshardConfig, run


@pytest.mark.parametrize("format_given", [True, False])
def test_the_golden_is_equalled(shared_data, tmp_path, make, capsys, format_given):
    data, out = shared_data / "datacomp", tmp_path / "out"
    form = {"shard_format": "{:08d}.tar"} if format_given else {}
    subset = data / "reshard_subset_with_dups.npy"
    places = {"input_dir": str(data / "shards"), "output_dir": str(out), "subset_file": str(subset)}
    manifest = run(ReshardConfig(**places, num_shards=4, shard_size=50, **form))

    golden = data / "reshard_golden"
    names = sorted(path.name for path in golden.iterdir())
    assert sorted(path.name for path in out.iterdir() if not path.name.startswith("_")) == names
    for name in (name for name in names if name.endswith(".tar")):
        assert make.members_in(out / name) == make.members_in(golden / name)
    for name in (name for name in names if name.endswith(("_stats.json", ".npy"))):
        assert (out / name).read_bytes() == (golden / name).read_bytes()

    ours, theirs = (json.loads((folder / "meta.json").read_bytes()) for folder in (out, golden))
    same = ("processed_count", "output_count", "output_shard_count", "shard_size", "num_shards", "blur_count")
    assert {name: ours[name] for name in same} == {name: theirs[name] for name in same}
    assert set(theirs) - set(ours) == {"blur_time", "worker_success"}
    assert manifest.counts["missing_shards"] == 1
    assert manifest.facts["missing_shards"] == ["2"]
    wanted = np.unique(np.load(subset))
    assert manifest.counts["uids_not_found"] == len(wanted) - manifest.counts["samples_kept"]
    assert "missing shards (1): 2" in capsys.readouterr().err


def test_a_command_line_of_datacomps_is_understood():
    import argparse

    line = (
        "-i IN -o OUT -s FILE.npy -n 4 -j 2 --first_shard 1 --shard-size 50 --shard_format {:08d}.tar "
        "--output-shard-format {:08d}.tar --shard-stats-format {:08d}_stats.json --output-shard-stats-format {:08d}_stats.json "
        "--shard-table sizes.json --write-shard-table --shuffle-bufsize 100 --blur-metadata-map map.json --apply-blur "
        "--inject-blur-metadata --reencode-webp-quality 90 --dry-run --overwrite -v -v -q"
    )
    parser = argparse.ArgumentParser()
    add_options(parser, ReshardConfig)
    config = from_arguments(ReshardConfig, parser.parse_args(with_dashes(line.split())))
    assert (config.input_dir, config.output_dir, config.subset_file) == ("IN", "OUT", "FILE.npy")
    assert (config.num_shards, config.num_workers, config.first_shard) == (4, 2, 1)
    assert (config.shuffle_bufsize, config.reencode_webp_quality) == (100, 90)
    assert config.apply_blur
    assert config.overwrite
    assert config.dry_run
