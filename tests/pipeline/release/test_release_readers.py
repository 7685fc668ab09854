"""A release as others read it: datasets, DuckDB, polars, mlcroissant, sha256sum; and what its files let them skip."""

import json
import os
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.release import run
from pipeline.release.data_files import GROUP_ROWS, write_data_file
from pipeline.release.rows import in_order
from schemas.releases import RELEASES
from tests.pipeline.release.roots import config_of, make_root, pair, released, uids_of

PAIRS = [pair(number) for number in range(200)]
FOREIGN = """
import json, sys
folder, cache = sys.argv[1:]
import datasets
found = datasets.load_dataset(folder, split="train", cache_dir=cache)
told = {"rows": found.num_rows, "columns": found.column_names, "first": found[0]["uid"]}
told["features"] = found.features._to_yaml_list()
import mlcroissant
croissant = mlcroissant.Dataset(folder + "/croissant.json")
issues = croissant.metadata.ctx.issues
records = list(croissant.records("rows"))
told |= {"errors": sorted(issues.errors), "warnings": sorted(issues.warnings), "records": len(records)}
told |= {"record": {name: str(value) for name, value in records[0].items()}}
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    folder = tmp_path_factory.mktemp("release")
    root = make_root(folder / "root", PAIRS, arrays=True, subsets={"half": [each["uid"] for each in PAIRS[:100]]})
    run(config_of(root, folder / "out", file_rows=60, embeddings=("all",), homepage="https://example.org/data", creator="A Lab"))
    return folder / "out"


@pytest.fixture(scope="module")
def foreign(release, tmp_path_factory):
    """What datasets and mlcroissant, in a process of their own and without a network, make of the folder."""
    cache = tmp_path_factory.mktemp("cache")
    environment = {**os.environ, "HF_HOME": str(cache), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HOME": str(cache)}
    command = [sys.executable, "-c", FOREIGN, str(release), str(cache)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return json.loads(ran.stdout.splitlines()[-1])


def test_datasets_loads_the_folder_with_the_features_that_the_card_declares(release, foreign):
    assert foreign["rows"] == len(released(release))
    assert foreign["first"] == released(release)[0]["uid"]
    front = (release / "README.md").read_text().split("---\n")[1]
    declared = [json.loads(line.removeprefix("  - ")) for line in front.splitlines() if line.startswith("  - {")]
    assert declared == foreign["features"]
    assert [each["name"] for each in declared] == foreign["columns"]


def test_croissant_is_valid_without_a_warning(foreign):
    assert (foreign["errors"], foreign["warnings"]) == ([], [])


def test_croissant_gives_the_records_with_every_column(release, foreign):
    rows = released(release)
    assert foreign["records"] == len(rows)
    assert foreign["record"]["rows/uid"] == str(rows[0]["uid"].encode())
    assert foreign["record"].keys() == {f"rows/{name}" for name in rows[0]}


def test_croissant_tells_the_checksum_of_every_data_file_and_what_concerns_responsible_use(release):
    told = json.loads((release / "croissant.json").read_text())
    sums = dict(reversed(line.split("  ", 1)) for line in (release / "SHA256SUMS").read_text().splitlines())
    files = {node["contentUrl"]: node["sha256"] for node in told["distribution"] if node["@type"] == "cr:FileObject"}
    assert files == {name: digest for name, digest in sums.items() if name.startswith(("data/", "subsets/"))}
    wanted = ("dataCollection", "dataBiases", "dataLimitations", "personalSensitiveInformation", "dataReleaseMaintenancePlan")
    assert all(told[f"rai:{name}"] for name in wanted)


def test_the_validator_of_croissant_accepts_it(release):
    command = [
        os.path.join(os.path.dirname(sys.executable), "mlcroissant"),
        "validate",
        "--jsonld",
        str(release / "croissant.json"),
    ]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "Done." in ran.stderr


def test_sha256sum_finds_every_file_as_it_was_written(release):
    ran = subprocess.run(["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=release, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    listed = {line.split("  ", 1)[1] for line in (release / "SHA256SUMS").read_text().splitlines()}
    there = {path.relative_to(release).as_posix() for path in release.rglob("*") if path.is_file()}
    assert {name for name in there - listed if not name.startswith("data/_")} == {"SHA256SUMS"}
    assert listed <= there


def test_duckdb_and_polars_read_all_files_as_one_table(release):
    import duckdb
    import polars

    rows = released(release)
    counted = duckdb.sql(f"SELECT count(*), count(DISTINCT uid) FROM '{release}/data/*.parquet'").fetchall()
    assert counted == [(len(rows), len(rows))]
    frame = polars.scan_parquet(f"{release}/data/*.parquet").collect()
    assert frame["uid"].to_list() == [row["uid"] for row in rows]


def large_file(path, rows):
    """One file of several row groups, 20 rows per domain."""
    uids = np.random.default_rng(5).bytes(16 * rows).hex()
    made = {
        "uid": [uids[at : at + 32] for at in range(0, len(uids), 32)],
        "url": [f"https://d{number // 20:05d}.example/{number:06d}.jpg" for number in range(rows)],
        "text": ["a text"] * rows,
        "domain": [f"d{number // 20:05d}.example" for number in range(rows)],
    }
    schema = pa.schema([RELEASES.field(name) for name in made])
    table = in_order(pa.table(made, schema=schema))
    with path.open("wb") as file:
        write_data_file(file, schema, [table])
    return table


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    path = tmp_path_factory.mktemp("large") / "00000.parquet"
    return path, large_file(path, 3 * GROUP_ROWS)


def test_row_groups_of_other_domains_need_not_be_read(large):
    path, table = large
    metadata = pq.read_metadata(path)
    assert [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)] == [GROUP_ROWS] * 3
    place = table.schema.names.index("domain")
    bounds = [metadata.row_group(group).column(place).statistics for group in range(3)]
    assert all(one.max <= other.min for one, other in pairwise(bounds))
    assert metadata.row_group(0).column(place).has_offset_index


def test_row_groups_without_a_uid_are_passed_over_by_its_bloom_filter(large):
    import duckdb

    path, table = large
    uid = table["uid"][GROUP_ROWS + 5].as_py()
    excluded = duckdb.sql(f"SELECT bloom_filter_excludes FROM parquet_bloom_probe('{path}', 'uid', '{uid}')").fetchall()
    assert [answer for (answer,) in excluded] == [True, False, True]
    absent = [f"{number:032x}" for number in range(100)]
    probes = [
        duckdb.sql(f"SELECT bloom_filter_excludes FROM parquet_bloom_probe('{path}', 'uid', '{one}')").fetchall()
        for one in absent
    ]
    assert np.mean([answer for probe in probes for (answer,) in probe]) > 0.95


def test_a_subset_file_is_the_same_and_how_it_was_made_names_no_folder_of_this_machine(release):
    original = release.parent / "root/5_subsets/half.npy"
    assert (release / "subsets/half.npy").read_bytes() == original.read_bytes()
    told = json.loads((release / "subsets/half.json").read_text())
    assert told["config"] == {"metadata_dir": "4_scores", "lists": ["my list.txt"]}


def test_entries_of_a_subset_that_the_release_does_not_have_are_counted_and_told(tmp_path, capsys):
    root = make_root(tmp_path / "root", PAIRS, subsets={"half": [each["uid"] for each in PAIRS[:100]]})
    manifest = run(config_of(root, tmp_path / "out"))
    missing = len({each["uid"] for each in PAIRS[:100]} - set(uids_of(root)))
    assert manifest.facts["subsets"] == {"half": {"entries": 100, "not_in_release": missing}}
    assert f"subset half: {missing} of 100 entries are of pairs that the release does not have" in capsys.readouterr().out


@pytest.mark.slow
def test_a_release_of_the_demo_loads_everywhere_and_names_no_path(demo_root, tmp_path):
    from tests.pipeline.release.roots import contents

    manifest = run(config_of(demo_root, tmp_path / "out", embeddings=("all",), name="demo"))
    assert manifest.counts["rows_out"] == manifest.counts["rows_in"] > 0
    command = [sys.executable, "-c", FOREIGN, str(tmp_path / "out"), str(tmp_path / "cache")]
    environment = {**os.environ, "HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1"}
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert ran.returncode == 0, ran.stderr[-3000:]
    told = json.loads(ran.stdout.splitlines()[-1])
    assert (told["rows"], told["records"], told["errors"], told["warnings"]) == (manifest.counts["rows_out"],) * 2 + ([], [])
    assert {"crawl", "robots", "dup_of", "eval_cos", "clip_demo_similarity_score"} <= set(told["columns"])
    assert not [name for name, data in contents(tmp_path / "out").items() if str(demo_root).encode() in data]
    paths = pq.read_table(tmp_path / "out/data/00000.parquet")["wat_path"].unique().to_pylist()
    assert all(path.startswith("0_web/wat/") for path in paths)
