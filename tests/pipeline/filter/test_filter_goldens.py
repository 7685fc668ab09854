"""Drop-in for DataComp's baselines.py: the files it writes, byte for byte, from the command lines that its README gives."""

import tarfile
import zipfile
from pathlib import Path

import fsspec
import numpy as np
import pyarrow.parquet as pq
import pytest

from filters.compose import All
from filters.image_size import MaxAspectRatio, MinSide
from filters.text import MinCharacters, MinWords
from filters.texts.tokens import MinTokens
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
COMPONENTS = {
    "image_min200_ar3": SIZE,
    "caption_gt2words_gt5chars": CAPTION,
    "caption_and_image": (*CAPTION, *SIZE),
    "imagebased_caption_gt1tok_gt5chars": (MinTokens(2), MinCharacters(6)),
}
INTERSECTION = "image_based_intersect_clip_score"
SCALE = ("--image_based_scale", "small")
# The command lines of DataComp's README, each of which begins with README_BEGINS, and the golden of each.
README_BEGINS = "python baselines.py --metadata_dir path/to/metadata --save_path path/to/"
README = {
    "no_filter.npy --name no_filter": "no_filter",
    "basic_filter.npy --name basic_filter": "basic_filter__standin_lid",
    "clip_score_l14_30_percent.npy --name clip_score --arch l14 --fraction 0.3": "clip_score_l14_fraction_0.3",
    "clip_score_b32_25_threshold.npy --name clip_score --arch b32 --threshold 0.25": "clip_score_b32_threshold_0.25",
    "laion.npy --name laion2b": "laion2b",
    "text_based.npy --name text_based": "text_based__standin_lid_wn30_synids",
    "image_based.npy --name image_based --image_based_scale small --batch_size 512": "image_based__standin",
    "image_based_intersect_clip_score_l14_30_percent.npy --name image_based_intersect_clip_score --image_based_scale small "
    "--batch_size 512 --arch l14 --fraction 0.3": "image_based_intersect_clip_score_l14_fraction_0.3__standin",
}


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


@pytest.mark.parametrize("workers", ["1", "2"])
def test_laion2b_writes_datacomps_file(datacomp: Path, tmp_path: Path, workers: str):
    assert_same_file(datacomp, tmp_path, "laion2b.npy", "--name", "laion2b", "--num_workers", workers)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_text_based_writes_datacomps_file(datacomp: Path, tmp_path: Path, workers: str):
    options = ("--name", "text_based", "--assets", str(datacomp / "assets"), "--num_workers", workers)
    assert_same_file(datacomp, tmp_path, "text_based__standin_lid_wn30_synids.npy", *options)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_image_based_writes_datacomps_file_without_a_gpu(datacomp: Path, tmp_path: Path, workers: str):
    options = ("--name", "image_based", *SCALE, "--assets", str(datacomp / "assets"), "--num_workers", workers)
    assert_same_file(datacomp, tmp_path, "image_based__standin.npy", *options)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_its_intersection_with_a_score_writes_datacomps_file(datacomp: Path, tmp_path: Path, workers: str):
    options = ("--name", INTERSECTION, *SCALE, "--arch", "l14", "--fraction", "0.3", "--num_workers", workers)
    golden = "image_based_intersect_clip_score_l14_fraction_0.3__standin.npy"
    assert_same_file(datacomp, tmp_path, golden, *options, "--assets", str(datacomp / "assets"))


@pytest.mark.parametrize("name", list(COMPONENTS))
def test_the_parts_of_the_rules_keep_what_datacomps_parts_keep(datacomp: Path, name: str):
    kept: list[str] = []
    for path in sorted((datacomp / "metadata").glob("*.parquet")):
        (batch,) = pq.read_table(path).combine_chunks().to_batches()
        kept += batch["uid"].filter(All(COMPONENTS[name]).keep(batch)).to_pylist()
    assert np.array_equal(uids_to_array(kept), np.load(datacomp / "goldens" / f"component_{name}.npy"))


@pytest.fixture(scope="module")
def home_of_datacomp(datacomp: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which DataComp's scripts have cached their files, and nltk WordNet, which it leaves packed."""
    home, assets = tmp_path_factory.mktemp("home"), datacomp / "assets"
    for folder, pattern in ((".cache/fasttext", "lid.176.bin"), (".cache/datacomp", "*.pt")):
        (home / folder).mkdir(parents=True)
        for path in assets.glob(pattern):
            (home / folder / path.name).symlink_to(path)
    (home / "nltk_data/corpora").mkdir(parents=True)
    with (
        tarfile.open(assets / "nltk_wordnet.tar.gz") as wordnet,
        zipfile.ZipFile(home / "nltk_data/corpora/wordnet.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed,
    ):
        for info in wordnet:
            if info.isfile() and not Path(info.name).name.startswith("data."):  # the synsets' texts, which are not read
                packed.writestr(f"wordnet/{Path(info.name).name}", wordnet.extractfile(info).read())
    (home / "path/to").mkdir(parents=True)
    (home / "path/to/metadata").symlink_to(datacomp / "metadata")
    return home


@pytest.mark.parametrize("line", list(README), ids=README.values())
def test_a_command_line_of_datacomps_readme_works_unchanged_where_its_scripts_ran(
    datacomp: Path, home_of_datacomp: Path, monkeypatch: pytest.MonkeyPatch, line: str
):
    monkeypatch.setenv("HOME", str(home_of_datacomp))
    monkeypatch.setenv("NLTK_DATA", "")
    monkeypatch.chdir(home_of_datacomp)
    words = f"{README_BEGINS}{line}".removeprefix("python baselines.py").split()
    assert main(["filter", *words]) == 0
    made = Path(words[words.index("--save_path") + 1])
    assert made.read_bytes() == (datacomp / "goldens" / f"{README[line]}.npy").read_bytes()


@pytest.mark.parametrize("name", ["clip_score", INTERSECTION])
def test_fraction_1_which_fails_there_keeps_whatever_has_a_score(datacomp: Path, tmp_path: Path, name: str):
    made, options = tmp_path / "made.npy", ("--arch", "l14", "--fraction", "1.0")
    if name == INTERSECTION:
        options += (*SCALE, "--assets", str(datacomp / "assets"))
    assert main(["filter", "--name", name, "--metadata_dir", str(datacomp / "metadata"), "--save_path", str(made), *options]) == 0
    scored: list[str] = []
    for path in (datacomp / "metadata").glob("*.parquet"):
        table = pq.read_table(path, columns=["uid", "clip_l14_similarity_score"])
        has = ~np.isnan(table["clip_l14_similarity_score"].to_numpy())
        scored += np.array(table["uid"].to_pylist())[has].tolist()
    expected = uids_to_array(scored)
    if name == INTERSECTION:
        image_based = np.load(datacomp / "goldens/image_based__standin.npy")
        expected = image_based[np.isin(image_based, expected)]
    assert np.array_equal(np.load(made), expected)


def test_the_subset_may_be_saved_behind_a_url_which_is_refused_there(datacomp: Path):
    save = "memory://goldens/laion2b.npy"
    assert main(["filter", "--name", "laion2b", "--metadata_dir", str(datacomp / "metadata"), "--save_path", save]) == 0
    with fsspec.open(save) as file:
        assert file.read() == (datacomp / "goldens/laion2b.npy").read_bytes()


def test_a_missing_asset_is_one_line_before_any_work(datacomp: Path, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    words = ["--metadata_dir", str(datacomp / "metadata"), "--save_path", str(tmp_path / "made.npy")]
    lid = str(datacomp / "assets/lid.176.bin")
    assert main(["filter", "--name", "image_based", *SCALE, *words, "--lid-model", lid]) == 1
    told = capsys.readouterr().err
    assert "image_based needs the centroids of DataComp's small pool" in told
    assert "https://github.com/sagadre/datacomp_baseline_assets" in told
    assert told.count("\n") == 1
    assert not list(tmp_path.iterdir())
