"""The files that DataComp's baselines download: found where given, in a folder of them, or where its scripts keep them."""

from pathlib import Path

import pyarrow as pa
import pytest

from filters.files.assets import ASSETS, cached, find
from filters.language import FastTextLanguage, StoredLanguage, language
from filters.registry import Context
from schemas.errors import UserError

WITHOUT_LANG, WITH_LANG = Context(columns=("uid", "text")), Context(columns=("uid", "text", "lang"))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without any of them."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NLTK_DATA", "")
    return tmp_path / "home"


def put(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return str(path)


def test_what_is_given_comes_before_the_folder_and_that_before_the_cache(tmp_path: Path, home: Path):
    in_cache = put(home / ".cache/datacomp/small_centroids.pt")
    assert find("small_centroids", None, str(tmp_path), "image_based") == in_cache
    in_folder = put(tmp_path / "small_centroids.pt")
    assert find("small_centroids", None, str(tmp_path), "image_based") == in_folder
    given = put(tmp_path / "mine.npy")
    assert find("small_centroids", given, str(tmp_path), "image_based") == given


@pytest.mark.parametrize("name", ["small_centroids_l14.pt", "small_centroids.pt"])
def test_a_file_may_have_its_published_name_or_the_one_that_datacomps_scripts_give_it(tmp_path: Path, name: str):
    placed = put(tmp_path / name)
    assert find("small_centroids", None, str(tmp_path), "image_based") == placed


def test_wordnet_is_found_where_nltk_keeps_it(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch):
    kept = put(home / "nltk_data/corpora/wordnet.zip")
    assert cached("wordnet", None) == kept
    elsewhere = put(tmp_path / "data/corpora/wordnet.zip")
    monkeypatch.setenv("NLTK_DATA", f"/nowhere:{tmp_path / 'data'}")
    assert cached("wordnet", None) == elsewhere


@pytest.mark.parametrize("name", list(ASSETS))
def test_a_missing_one_is_told_with_its_option_its_name_and_where_it_is_published(tmp_path: Path, name: str):
    with pytest.raises(UserError) as told:
        find(name, None, str(tmp_path), "a_filter")
    asset = ASSETS[name]
    for part in ("a_filter needs", asset.what, asset.option, asset.names[0], "--assets", asset.cached, asset.url):
        assert part in str(told.value)


def test_what_is_given_and_not_there_is_told(tmp_path: Path):
    with pytest.raises(UserError, match=r"--param centroids /nowhere\.pt: no such file; give the centroids of DataComp's small"):
        find("small_centroids", "/nowhere.pt", None, "image_based")
    with pytest.raises(UserError, match=r"--assets s3://bucket/assets: no such folder on this machine"):
        find("small_centroids", None, "s3://bucket/assets", "image_based")


def test_the_language_is_that_of_a_given_model_then_of_the_column_then_of_a_model_that_is_found(shared_data: Path, home: Path):
    assets = str(shared_data / "datacomp/assets")
    model = f"{assets}/lid.176.bin"
    assert language("en", model, WITH_LANG, "basic_filter", assets) == FastTextLanguage("en", model)
    assert language("en", None, WITH_LANG, "basic_filter", assets) == StoredLanguage("en")
    assert language("en", None, WITHOUT_LANG, "basic_filter", assets) == FastTextLanguage("en", model)
    kept = home / ".cache/fasttext/lid.176.bin"
    kept.parent.mkdir(parents=True)
    kept.symlink_to(model)
    found = language("en", None, WITHOUT_LANG, "basic_filter")
    assert found == FastTextLanguage("en", str(kept))
    assert found.keep(pa.record_batch({"text": ["a dog in the garden", "Haus mit Garten und Baum"]})).to_pylist() == [True, False]


def test_without_column_and_model_the_language_cannot_be_told(tmp_path: Path):
    with pytest.raises(
        UserError, match=r"basic_filter: the metadata has no column `lang`; give --lid-model PATH .* published at"
    ):
        language("en", None, WITHOUT_LANG, "basic_filter", str(tmp_path))


def test_a_cached_model_that_is_none_is_told_by_its_path(home: Path):
    put(home / ".cache/fasttext/lid.176.bin")
    with pytest.raises(UserError, match=r"\.cache/fasttext/lid\.176\.bin: not a fastText model"):
        language("en", None, WITHOUT_LANG, "basic_filter")
