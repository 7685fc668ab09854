"""webpairs filter: metadata in, subset and its account out."""

import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.cli import main
from pipeline.filter import FilterConfig, run
from schemas.errors import UserError
from schemas.subsets import array_to_uids, uids_to_array

UIDS = [f"{i * 7919 % 251:032x}" for i in range(100)]
ENGLISH = "a red fox in the snow"


def metadata(folder: Path, *, files: int = 2, **replaced: list) -> Path:
    """100 rows over some files: scores 0.00 to 0.99, every fourth text not English, every tenth image narrow."""
    columns = {
        "uid": UIDS,
        "text": [ENGLISH] * 100,
        "original_width": pa.array([100 if i % 10 == 0 else 300 for i in range(100)], pa.int32()),
        "original_height": pa.array([300] * 100, pa.int32()),
        "clip_demo_similarity_score": pa.array([i / 100 for i in range(100)], pa.float32()),
        "lang": ["de" if i % 4 == 0 else "en" for i in range(100)],
        **replaced,
    }
    table = pa.table({name: values for name, values in columns.items() if values is not None})
    folder.mkdir(exist_ok=True)
    for i in range(files):
        pq.write_table(table.slice(i * 100 // files, 100 // files), folder / f"{i:05d}.parquet")
    return folder


def config(folder: Path, name: str, **options: object) -> FilterConfig:
    return FilterConfig(name=name, metadata_dir=str(folder), save_path=str(folder.parent / "subset.npy"), **options)


def subset(folder: Path, name: str, **options: object) -> list[str]:
    run(config(folder, name, **options))
    return array_to_uids(np.load(folder.parent / "subset.npy"))


def account(folder: Path) -> dict:
    return json.loads((folder.parent / "subset.json").read_text())


def test_the_stored_language_decides_where_no_model_is_given(tmp_path: Path):
    kept = subset(metadata(tmp_path / "m"), "basic_filter")
    assert kept == sorted(uid for i, uid in enumerate(UIDS) if i % 4 and i % 10)


def test_the_account_tells_what_each_rule_removed_alone_and_in_order(tmp_path: Path):
    subset(metadata(tmp_path / "m"), "basic_filter")
    made = account(tmp_path / "m")
    steps = [(s["rule"]["filter"], s["removed_alone"], s["removed_in_order"], s["left"]) for s in made["waterfall"]]
    assert steps == [
        ("language", 25, 25, 75),
        ("min_words", 0, 0, 75),
        ("min_characters", 0, 0, 75),
        ("min_side", 10, 5, 70),
        ("max_aspect_ratio", 0, 0, 70),
    ]
    assert made["counts"]["rows_in"] == 100
    assert made["counts"]["rows_out"] == 70
    assert made["parameters"]["min_side"] == {"px": 200}
    assert made["recipe"] == "basic_filter"


def test_a_costly_rule_of_a_large_pool_is_asked_for_what_others_leave_and_a_sample(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("pipeline.filter.select.LARGE_POOL_ROWS", 10)
    folder = metadata(
        tmp_path / "m",
        uid=[f"{i:032x}" for i in range(100)],
        text=["ein roter Fuchs im Schnee" if i % 3 else ENGLISH for i in range(100)],
        clip_b32_similarity_score=pa.array([0.2 if i % 4 == 0 else 0.3 for i in range(100)], pa.float32()),
    )
    kept = subset(folder, "laion2b")  # whose CLD3 is costly
    assert kept == [f"{i:032x}" for i in range(100) if i % 4 and i % 3 == 0]
    score, spoken = account(folder)["waterfall"]
    sampled = range(0, 100, 16)
    assert (score["removed_alone"], score["left"]) == (25, 75)
    assert spoken["removed_alone_estimated_from"] == len(sampled)
    assert spoken["removed_alone"] == round(100 * sum(i % 3 > 0 for i in sampled) / len(sampled))
    assert spoken["left"] == len(kept)


def test_any_scored_column_will_do_for_arch_and_the_account_tells_the_threshold(tmp_path: Path):
    folder = metadata(tmp_path / "m")
    kept = subset(folder, "clip_score", arch="demo", fraction=0.3)
    assert kept == sorted(UIDS[69:])
    assert account(folder)["parameters"] == {
        "column": "clip_demo_similarity_score",
        "at_least": float(np.float32(0.69)),
        "fraction": 0.3,
    }


def test_fraction_1_keeps_every_row_that_has_a_score_and_the_account_is_json(tmp_path: Path):
    scores = pa.array([math.nan, None] + [0.5] * 98, pa.float32())
    folder = metadata(tmp_path / "m", clip_demo_similarity_score=scores)
    assert len(subset(folder, "clip_score", arch="demo", fraction=1.0)) == 98
    assert account(folder)["resolved"]["at_least"] == "-inf"


def test_a_uid_that_stands_twice_is_kept_twice(tmp_path: Path):
    folder = metadata(tmp_path / "m", uid=[UIDS[0]] * 2 + UIDS[2:])
    assert subset(folder, "no_filter").count(UIDS[0]) == 2


def test_a_random_subset_is_the_same_however_the_files_are_cut(tmp_path: Path):
    one = subset(metadata(tmp_path / "one", files=1), "random_subset", fraction=0.4)
    five = subset(metadata(tmp_path / "five", files=5), "random_subset", fraction=0.4, num_workers=2)
    assert one == five
    assert 20 < len(one) < 60


def test_like_takes_as_many_random_rows_as_another_subset_has(tmp_path: Path):
    np.save(tmp_path / "other.npy", uids_to_array(UIDS[:37]))
    folder = metadata(tmp_path / "m")
    first = subset(folder, "random_subset", like=str(tmp_path / "other.npy"))
    second = subset(folder, "random_subset", like=str(tmp_path / "other.npy"), seed=1)
    assert (len(first), len(second)) == (37, 37)
    assert first != second


def test_the_same_command_writes_the_same_bytes_and_leaves_nothing_else(tmp_path: Path):
    folder = metadata(tmp_path / "m")
    subset(folder, "basic_filter")
    before = (tmp_path / "subset.npy").read_bytes()
    subset(folder, "basic_filter")
    assert (tmp_path / "subset.npy").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m", "subset.json", "subset.npy"]


def test_a_save_path_without_suffix_gets_one_as_numpy_gives_it(tmp_path: Path):
    folder = metadata(tmp_path / "m")
    run(FilterConfig(name="no_filter", metadata_dir=str(folder), save_path=str(tmp_path / "new" / "all")))
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["all.json", "all.npy"]


def test_metadata_may_lie_behind_a_url(tmp_path: Path):
    folder = metadata(tmp_path / "m")
    save = str(tmp_path / "s.npy")
    assert run(FilterConfig(name="no_filter", metadata_dir=f"file://{folder}", save_path=save)).counts["rows_out"] == 100


def test_a_damaged_file_ends_the_command_and_by_option_is_named_counted_and_skipped(tmp_path: Path, capsys):
    folder = metadata(tmp_path / "m")
    damaged = folder / "00000.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-20])
    words = ["filter", "--name", "clip_score", "--arch", "demo", "--fraction", "0.5", "--metadata_dir", str(folder)]
    words += ["--save_path", str(tmp_path / "s.npy")]
    assert main(words) == 1
    assert f"webpairs: {damaged}: damaged parquet file" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    assert main([*words, "--damaged", "skip"]) == 0
    assert f"webpairs: failed: {damaged}: damaged parquet file" in capsys.readouterr().err
    assert len(np.load(tmp_path / "s.npy")) == 26
    told = json.loads((tmp_path / "s.json").read_text())
    assert told["inputs"][0]["status"] == "failed"
    assert told["counts"]["skipped_files"] == 1


def test_a_file_that_lacks_a_column_or_holds_a_bad_uid_is_named(tmp_path: Path):
    folder = metadata(tmp_path / "m")
    pq.write_table(pa.table({"uid": [UIDS[0]]}), folder / "00002.parquet")
    bad = pq.read_table(folder / "00001.parquet")
    pq.write_table(bad.set_column(0, "uid", pa.array(["abc"] + ["0" * 32] * 49)), folder / "00001.parquet")
    failed = run(config(folder, "clip_score", arch="demo", threshold=-1.0, damaged="skip")).failed_inputs
    assert [Path(report.path).name for report in failed] == ["00001.parquet", "00002.parquet"]
    assert "'abc' has 3 characters" in failed[0].error
    assert "no column clip_demo_similarity_score" in failed[1].error


def test_a_folder_that_is_missing_or_has_no_parquet_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="nowhere: no such folder"):
        run(config(tmp_path / "nowhere", "no_filter"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty: no parquet files"):
        run(config(tmp_path / "empty", "no_filter"))


def test_a_folder_of_damaged_files_only_is_refused(tmp_path: Path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "00000.parquet").write_bytes(b"PAR1 nothing PAR1")
    with pytest.raises(UserError, match=r"00000\.parquet: damaged parquet file"):
        run(config(tmp_path / "m", "no_filter"))


@pytest.mark.parametrize(
    "bad", [{"uid": ["abc"] * 100}, {"uid": list(range(100))}, {"uid": None}], ids=["short", "number", "absent"]
)
def test_no_subset_is_written_where_every_file_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str], bad: dict):
    folder = metadata(tmp_path / "m", **bad)
    words = ["--metadata_dir", str(folder), "--save_path", str(tmp_path / "s.npy")]
    assert main(["filter", "--name", "no_filter", *words, "--tolerate-failed", "1"]) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"webpairs: {folder}/00000.parquet: ")
    assert "no file of the metadata can be used (2 tried)" in told
    assert told.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 cut", None])
def test_like_refuses_what_is_no_subset(tmp_path: Path, content: bytes | None):
    path = tmp_path / "other.npy"
    if content is None:
        np.save(path, np.arange(3))
    else:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"other\.npy: .*subset"):
        run(config(metadata(tmp_path / "m"), "random_subset", like=str(path)))


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--name", "no_filtr"], 2, "did you mean no_filter?"),
        (["--name", "clip_score", "--arch", "demo"], 2, "either --threshold or --fraction"),
        (["--name", "clip_score", "--arch", "l14", "--threshold", "0.3"], 1, "it has: demo"),
        (["--name", "random_subset", "--like", "/nowhere.npy"], 1, "/nowhere.npy: no such file"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list, status: int, message: str
):
    folder = metadata(tmp_path / "m")
    assert main(["filter", *words, "--metadata_dir", str(folder), "--save_path", str(tmp_path / "s.npy")]) == status
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "s.npy").exists()


@pytest.mark.parametrize("chosen", [{"threshold": 0.3}, {"fraction": 0.3}, {"fraction": 1.0}])
@pytest.mark.parametrize("empty", [None, math.nan])
def test_a_score_that_was_never_computed_is_refused_and_the_others_are_named(tmp_path: Path, chosen: dict, empty: float | None):
    folder = metadata(tmp_path / "m", clip_l14_similarity_score=pa.array([empty] * 100, pa.float32()))
    message = r"column clip_l14_similarity_score has no value in .*/m: never computed; scored columns: demo"
    with pytest.raises(UserError, match=message):
        run(config(folder, "clip_score", arch="l14", **chosen))
    assert not (tmp_path / "subset.npy").exists()


def test_one_score_in_the_last_file_is_enough(tmp_path: Path):
    scores = pa.array([None] * 99 + [0.5], pa.float32())
    folder = metadata(tmp_path / "m", files=5, clip_l14_similarity_score=scores)
    assert subset(folder, "clip_score", arch="l14", threshold=0.3) == [UIDS[99]]


def test_metadata_without_rows_has_an_empty_subset(tmp_path: Path):
    folder = metadata(tmp_path / "m")
    for path in folder.iterdir():
        pq.write_table(pq.read_table(path).slice(0, 0), path)
    assert subset(folder, "clip_score", arch="demo", threshold=0.3) == []
