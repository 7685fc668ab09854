"""image_based: enough tokens and characters, English, and an image near one of the targets."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from filters import nearest
from filters.compose import resolve
from filters.embeddings import as_column
from filters.image_based import NearestAmong, NearTargets
from filters.nearest import Nearest
from filters.registry import Context, build
from filters.texts.tokens import MinTokens, token_counts
from schemas.errors import UsageError, UserError

CONTEXT = Context(columns=("uid", "text", "lang", "clip_l14_similarity_score", "l14_img"))
D = 16


def slow_tokens(text: str) -> list[str]:
    """fastText's Dictionary::readWord, character by character."""
    tokens, word = [], ""
    for character in text + " ":
        if character not in " \n\r\t\v\f\0":
            word += character
            continue
        tokens += [word] * bool(word) + ["</s>"] * (character == "\n")
        word = ""
    return tokens


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("a b", 2),
        ("ab", 1),
        ("ab\n", 2),
        ("\n", 1),
        ("\n\n", 2),
        (" a ", 1),
        ("a\u00a0b", 1),
        ("a\x1cb", 1),
        ("a\0b\vc\fd", 4),
        ("", 0),
    ],
)
def test_tokens_are_cut_at_ascii_white_space_and_null_and_a_line_end_is_one(text: str, count: int):
    assert (len(slow_tokens(text)), token_counts(pa.array([text])).tolist()) == (count, [count])


@given(st.lists(st.none() | st.text(" \n\r\t\v\f\0ab\u00a0é", max_size=8)), st.integers(0, 3), st.booleans())
def test_tokens_are_those_of_the_slow_rule(texts: list[str | None], skipped: int, large: bool):
    array = pa.array(texts, pa.large_string() if large else pa.string())[skipped:]
    expected = [text is not None and len(slow_tokens(text)) >= 2 for text in texts[skipped:]]
    assert MinTokens(2).keep(pa.record_batch({"text": array})).to_pylist() == expected


def rows(count: int, seed: int, dtype: type = np.float32) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, D)).astype(dtype)


@pytest.mark.parametrize("count", [0, 1, 100])
def test_the_nearest_centroid_has_the_largest_product_whatever_the_size_of_blocks(count: int, monkeypatch: pytest.MonkeyPatch):
    centroids, asked = rows(7, 0), rows(count, 1, np.float16)
    expected = [max(range(7), key=lambda k: float(np.dot(row.astype(np.float64), centroids[k]))) for row in asked]
    for numbers in (1, 20, 1 << 24):
        monkeypatch.setitem(nearest._BLOCK_NUMBERS, "cpu", numbers)
        assert Nearest(centroids, "cpu").of(asked).tolist() == expected


def test_of_equal_products_the_first_counts_and_nan_is_taken_as_torch_takes_it():
    centroids = np.concatenate([rows(3, 0)] * 2)
    asked = rows(20, 1)
    asked[3] = np.nan
    asked[4] = 0
    found = Nearest(centroids, "cpu").of(asked)
    assert found.max() < 3
    assert (
        found[[3, 4]].tolist() == torch.argmax(torch.tensor(asked[[3, 4]]) @ torch.tensor(centroids).T, dim=1).tolist() == [0, 0]
    )


def test_torch_finds_what_blas_finds():
    centroids, asked = rows(50, 0), rows(300, 1, np.float16)
    by_torch = Nearest.__new__(Nearest)
    by_torch._block_rows, by_torch._of_block = 64, nearest._by_torch(centroids, "cpu")
    assert np.array_equal(by_torch.of(asked), Nearest(centroids, "cpu").of(asked))


def test_without_a_gpu_the_cpu_is_taken():
    if torch.cuda.is_available():
        pytest.skip("this machine has one")
    assert nearest.fastest_device() == "cpu"


def files(tmp_path: Path, centroids: np.ndarray, *targets: np.ndarray) -> tuple[str, tuple[str, ...]]:
    torch.save(centroids, tmp_path / "centroids.pt")
    for i, part in enumerate(targets):
        torch.save({"image_features": torch.tensor(part)}, tmp_path / f"targets_{i}.pt")
    return str(tmp_path / "centroids.pt"), tuple(str(tmp_path / f"targets_{i}.pt") for i in range(len(targets)))


def test_an_image_is_kept_whose_centroid_is_that_of_some_target(tmp_path: Path):
    centroids, targets, images = rows(9, 0), rows(4, 1), rows(200, 2, np.float16)
    rule = NearTargets(*files(tmp_path, centroids, targets[:3], targets[3:]))
    batch = pa.record_batch({"l14_img": as_column(images)})
    counted = {int(np.argmax(centroids @ target)) for target in targets}
    expected = [int(np.argmax(centroids @ image.astype(np.float32))) in counted for image in images]
    assert resolve(rule, lambda _: []).keep(batch).to_pylist() == expected
    assert 0 < sum(expected) < 200


def test_embeddings_of_another_model_are_refused_by_file(tmp_path: Path):
    with pytest.raises(UserError, match=r"targets_0\.pt: has 8 dimensions, the centroids in .*centroids\.pt 16"):
        NearTargets(*files(tmp_path, rows(9, 0), rows(4, 1)[:, :8])).resolve(lambda _: [])
    np.save(tmp_path / "centroids.npy", rows(9, 0))
    among = NearestAmong(str(tmp_path / "centroids.pt"), np.ones(9, bool), str(tmp_path / "centroids.npy"))
    with pytest.raises(UserError, match=r"centroids\.pt: has 16 dimensions, column l14_img 8"):
        among.keep(pa.record_batch({"l14_img": as_column(rows(3, 0)[:, :8])}))


def test_a_damaged_asset_is_told_by_its_path(tmp_path: Path):
    centroids, targets = files(tmp_path, rows(9, 0), rows(4, 1))
    Path(targets[0]).write_bytes(Path(targets[0]).read_bytes()[:-100])
    with pytest.raises(UserError, match=r"targets_0\.pt: not a file of \(n, d\) floats"):
        NearTargets(centroids, targets).resolve(lambda _: [])


def test_all_rules_together_and_the_score_is_that_of_the_whole_pool(tmp_path: Path):
    centroids, targets = files(tmp_path, np.eye(D, dtype=np.float32), np.eye(D, dtype=np.float32)[:2])
    images = np.eye(D, dtype=np.float16)[[0, 1, 2, 0, 0, 0, 0]]
    columns = {
        "text": ["a red dog", "a red cat", "a red fox", "ein Hund", "reddog", "a dog", "a red dog"],
        "lang": ["en", "en", "en", "de", "en", "en", "en"],
        "clip_l14_similarity_score": pa.array([0.3, 0.2, 0.5, 0.5, 0.5, 0.5, 0.1], pa.float32()),
        "l14_img": as_column(images),
    }
    batch = pa.record_batch(columns)
    given = {"centroids": centroids, "features": list(targets)}
    assert asked("image_based", given, batch) == [True, True, False, False, False, False, True]
    of_whole_pool = {**given, "arch": "l14", "fraction": 0.6}  # the place of 0.3 among all seven
    assert asked("image_based_intersect_clip_score", of_whole_pool, batch) == [True, False, False, False, False, False, False]
    at_least = {**given, "arch": "l14", "threshold": 0.2}
    assert asked("image_based_intersect_clip_score", at_least, batch) == [True, True, False, False, False, False, False]


def asked(name: str, given: dict, batch: pa.RecordBatch) -> list[bool]:
    return resolve(build(name, given, CONTEXT), lambda _: [batch]).keep(batch).to_pylist()


def test_what_is_missing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UsageError, match="give --image_based_scale small, medium, large or xlarge"):
        build("image_based", {}, CONTEXT)
    with pytest.raises(UserError, match=r"image_based needs the centroids of DataComp's large pool: .*large_centroids_l14\.pt"):
        build("image_based", {"image_based_scale": "large"}, CONTEXT)
    with pytest.raises(UserError, match=r"no embeddings l14_img in the \.npz"):
        build("image_based", {"image_based_scale": "large"}, Context(columns=("uid", "text", "lang")))
    with pytest.raises(UsageError, match="give either --threshold or --fraction"):
        build("image_based_intersect_clip_score", {"image_based_scale": "small", "arch": "l14"}, CONTEXT)
