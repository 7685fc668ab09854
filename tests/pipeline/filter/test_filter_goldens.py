"""Drop-in for DataComp's baselines.py: the files it writes, byte for byte."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from filters.compose import All
from filters.image_size import MaxAspectRatio, MinSide
from filters.text import MinCharacters, MinWords
from pipeline.cli import main
from schemas.subsets import uids_to_array

CLIP_SCORES = [
    (arch, option, value)
    for arch in ("b32", "l14")
    for option, values in {"threshold": ("0.25", "0.28", "0.30"), "fraction": ("0.1", "0.2", "0.3", "0.5")}.items()
    for value in values
]
SIZE = (MinSide(200), MaxAspectRatio(3.0))
CAPTION = (MinWords(3), MinCharacters(6))
COMPONENTS = {"image_min200_ar3": SIZE, "caption_gt2words_gt5chars": CAPTION, "caption_and_image": (*CAPTION, *SIZE)}


@pytest.fixture(scope="module")
def datacomp(shared_data: Path) -> Path:
    return shared_data / "datacomp"


def assert_same_file(datacomp: Path, tmp_path: Path, golden: str, *options: str) -> None:
    made = tmp_path / "made.npy"
    assert main(["filter", "--metadata_dir", str(datacomp / "metadata"), "--save_path", str(made), *options]) == 0
    assert made.read_bytes() == (datacomp / "goldens" / golden).read_bytes()


def test_no_filter_writes_datacomps_file(datacomp: Path, tmp_path: Path):
    assert_same_file(datacomp, tmp_path, "no_filter.npy", "--name", "no_filter")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_basic_filter_writes_datacomps_file_on_any_number_of_workers(datacomp: Path, tmp_path: Path, workers: str):
    lid = str(datacomp / "assets" / "lid.176.bin")
    options = ("--name", "basic_filter", "--lid-model", lid, "--num_workers", workers)
    assert_same_file(datacomp, tmp_path, "basic_filter__standin_lid.npy", *options)


@pytest.mark.parametrize(("arch", "option", "value"), CLIP_SCORES)
def test_clip_score_writes_datacomps_file(datacomp: Path, tmp_path: Path, arch: str, option: str, value: str):
    options = ("--name", "clip_score", "--arch", arch, f"--{option}", value)
    assert_same_file(datacomp, tmp_path, f"clip_score_{arch}_{option}_{value}.npy", *options)


@pytest.mark.parametrize("name", list(COMPONENTS))
def test_the_parts_of_basic_filter_keep_what_datacomps_parts_keep(datacomp: Path, name: str):
    kept: list[str] = []
    for path in sorted((datacomp / "metadata").glob("*.parquet")):
        (batch,) = pq.read_table(path).combine_chunks().to_batches()
        kept += batch["uid"].filter(All(COMPONENTS[name]).keep(batch)).to_pylist()
    assert np.array_equal(uids_to_array(kept), np.load(datacomp / "goldens" / f"component_{name}.npy"))
