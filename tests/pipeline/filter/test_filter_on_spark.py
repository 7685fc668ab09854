"""webpairs filter on a Spark session: the same subset and account as without, whatever the filter, and files that it reads."""

import json
from pathlib import Path

import pytest

from pipeline.filter import FilterConfig, run
from pipeline.filter.on_spark import _files_of, _packed, _unpacked
from pipeline.nearby import published
from schemas.errors import UserError
from tests.pipeline.filter.test_filter_stage import metadata

ASSETS = {"assets": "assets"}
# Every baseline of DataComp's, and filters that look at the whole pool first, or draw.
BASELINES = {
    "no_filter": {"name": "no_filter"},
    "basic_filter": {"name": "basic_filter", "lid_model": "assets/lid.176.bin"},
    "laion2b": {"name": "laion2b"},
    "clip_score, threshold": {"name": "clip_score", "arch": "b32", "threshold": 0.28},
    "clip_score, fraction": {"name": "clip_score", "arch": "l14", "fraction": 0.3},
    "text_based": {"name": "text_based", **ASSETS},
    "image_based": {"name": "image_based", "image_based_scale": "small", **ASSETS},
    "intersection": {
        "name": "image_based_intersect_clip_score",
        "image_based_scale": "small",
        "arch": "l14",
        "fraction": 0.3,
        **ASSETS,
    },
    "random_subset": {"name": "random_subset", "fraction": 0.5, "seed": 3},
    "laion_2b_en": {"recipe": "laion_2b_en"},
    "datacomp_1b": {"recipe": "datacomp_1b", "image_based_scale": "small", **ASSETS},
}


def made(config, spark):
    """The bytes of the subset, and its account without what differs from run to run."""
    run(config, spark)
    account = json.loads(Path(config.save_path.replace(".npy", ".json")).read_text())
    for name in ("started_at", "duration_s", "peak_rss_bytes"):
        account.pop(name)
    return Path(config.save_path).read_bytes(), account


def same_on(spark, folder, **options):
    config = FilterConfig(save_path=str(folder / "subset.npy"), **options)
    alone, on_spark = made(config, None), made(config, spark)
    assert alone == on_spark
    assert sorted(path.name for path in folder.glob("*subset*")) == ["subset.json", "subset.npy"]
    return alone[1]


@pytest.mark.parametrize("options", BASELINES.values(), ids=BASELINES)
def test_a_baseline_of_datacomps_writes_the_same_subset_and_account(spark, shared_data, tmp_path, options):
    datacomp = shared_data / "datacomp"
    options = {key: str(datacomp / value) if str(value).startswith("assets") else value for key, value in options.items()}
    account = same_on(spark, tmp_path, metadata_dir=str(datacomp / "metadata"), **options)
    assert account["counts"]["rows_in"] > account["counts"]["rows_out"] or options["name"] == "no_filter"


def test_repeats_are_weights_there_too(spark, tmp_path):
    folder = metadata(tmp_path / "m", files=4)
    options = {"name": "soft_cap", "param": ("column=clip_demo_similarity_score",), "fraction": 1.5}
    account = same_on(spark, tmp_path, metadata_dir=str(folder), **options)
    assert account["counts"]["rows_out"] == 150


def test_a_file_that_cannot_be_read_is_told_likewise_and_paths_may_be_relative(spark, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    metadata(Path("m"), files=4)
    (tmp_path / "m" / "00002.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(UserError, match=r"/m/00002\.parquet: damaged parquet file"):
        run(FilterConfig(metadata_dir="m", save_path="subset.npy", name="no_filter"), spark)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m"]
    account = same_on(spark, tmp_path, metadata_dir="m", name="no_filter", damaged="skip")
    assert account["counts"] == {"rows_in": 75, "rows_out": 75, "skipped_files": 1}


def test_a_file_that_a_filter_reads_is_copied_to_where_tasks_find_it(tmp_path):
    (tmp_path / "model.bin").write_bytes(b"weights")
    (tmp_path / "other.npy").write_bytes(b"features")
    mine = str(tmp_path / "model.bin"), {"deep": [str(tmp_path / "other.npy"), "a/b", str(tmp_path)]}
    assert _files_of(mine) == [str(tmp_path / "model.bin"), str(tmp_path / "other.npy")]
    with published("memory://scratch", _files_of(mine)) as copies:
        packed = _packed(mine, dict(zip(_files_of(mine), copies, strict=True)))
        model, others = _unpacked(packed)
        assert Path(model).read_bytes() == b"weights"
        assert Path(others["deep"][0]).read_bytes() == b"features"
        assert others["deep"][1:] == ["a/b", str(tmp_path)]
        assert model != mine[0]
