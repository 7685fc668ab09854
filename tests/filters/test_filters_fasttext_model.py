"""Labels found by compiled code are the library's own, for every text and model; where it is not sure, the library is asked."""

import json
import os
import struct
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters import language as language_module
from filters.files.fasttext_model import FastTextModel, read_model
from filters.language import FastTextLanguage, language, load_lid
from filters.registry import Context
from schemas.errors import UserError

LABELS = ["en", "de", "fr", "ru", "zh", "xx"]
WORDS = ["</s>", "dog", "a", "каша", "garden", "海滩"]
TEXTS = [
    "",
    " ",
    "\n",
    "\0",
    "a dog in the garden",
    "Haus\nmit\tGarten\r\vund\fBaum\0x",
    "каша 海滩 鞋子 😀😀 é",
    "dog",
    "</s>",
    "dog </s> garden",
    "__label__en dog",
    "dog __label__none",
    "__ __l <b> <i>x </p>",
    "x" * 3000,
    "a dog " * 2000,
    "é" * 100_000,
    "no\u00a0break\u3000space\u2028line",
]
SIGNS = st.one_of(st.sampled_from("ab dogen</s>_\n\t\0é海😀\u00a0"), st.characters(exclude_categories=["Cs"]))


def model_bytes(
    loss: str = "tree",
    words: Sequence[str] = WORDS,
    ngrams: tuple[int, int] = (2, 4),
    *,
    labels: Sequence[str] = LABELS,
    scale: float = 1.0,
    loss_number: int | None = None,
) -> bytes:
    """A model of random rows in fastText's format, version 12, which is little-endian throughout.

    Magic, version, 12 arguments (dimensions, window, epochs, least count, negatives, word n-grams, loss, kind, buckets, least and
    most characters of n-grams, rate of updates) and a threshold; how many entries, words, labels, tokens, and pruned rows or -1;
    of each entry its name, NUL, count and kind; then two matrices: not quantised, rows, columns, float32.
    """
    draw, dim, buckets = np.random.default_rng(len(words)), 8, 500
    number = loss_number or {"tree": 1, "softmax": 3}[loss]
    head = struct.pack("<ii12id", 793712314, 12, dim, 5, 5, 1, 5, 1, number, 3, buckets, *ngrams, 100, 1e-4)
    entries = [(word, 10 * (len(words) - at), 0) for at, word in enumerate(words)]
    entries += [(f"__label__{label}", 1000 // (1 + at), 1) for at, label in enumerate(labels)]
    counts = struct.pack("<iiiqq", len(entries), len(words), len(labels), 1000, -1)
    listed = b"".join(name.encode() + b"\0" + struct.pack("<qb", count, kind) for name, count, kind in entries)
    matrices = [scale * draw.normal(size=(rows, dim)) for rows in (len(words) + buckets, len(labels))]
    return head + counts + listed + b"".join(struct.pack("<?qq", False, *m.shape) + m.astype("<f4").tobytes() for m in matrices)


def written(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)


def labels_of(path: str, texts: Sequence[str]) -> list[str | None]:
    """The label of each text, found by asking the filter about every label that there is."""
    found: list[str | None] = [None] * len(texts)
    model, batch = read_model(path), pa.record_batch({"text": pa.array(texts, pa.string())})
    for label in model.labels if model else [f"__label__{label}" for label in LABELS]:
        for at in np.flatnonzero(FastTextLanguage(label.removeprefix("__label__"), path).keep(batch)).tolist():
            assert found[at] is None
            found[at] = label
    return found


def library_labels(path: str, texts: Sequence[str]) -> list[str | None]:
    found = (load_lid(path).predict(text.replace("\n", " "))[0] for text in texts)
    return [labels[0] if labels else None for labels in found]


def asked_of(path: str, texts: Sequence[str]) -> int:
    """Of how many texts the compiled code is not sure."""
    model = read_model(path)
    assert isinstance(model, FastTextModel)
    return int(np.count_nonzero(~model.has_label(pa.array(texts, pa.string()), "__label__en")[1]))


@pytest.mark.parametrize("loss", ["tree", "softmax"])
@pytest.mark.parametrize("words", [WORDS, ["dog"], []], ids=["known", "no line end", "none known"])
@pytest.mark.parametrize("ngrams", [(2, 4), (1, 3), (3, 3), (0, 0)], ids=str)
def test_labels_are_those_of_the_library(tmp_path: Path, loss: str, words: list[str], ngrams: tuple[int, int]):
    path = written(tmp_path / "model.bin", model_bytes(loss, words, ngrams))
    assert labels_of(path, TEXTS) == library_labels(path, TEXTS)


@pytest.mark.parametrize("loss", ["tree", "softmax"])
def test_labels_are_those_of_the_library_whatever_the_text(tmp_path: Path, loss: str):
    path = written(tmp_path / "model.bin", model_bytes(loss, labels=[*LABELS, *(f"l{i}" for i in range(40))], scale=2.0))

    @settings(max_examples=150)
    @given(st.lists(st.text(SIGNS, max_size=30), max_size=5))
    def check(texts: list[str]) -> None:
        assert labels_of(path, texts) == library_labels(path, texts)

    check()


def test_the_stand_in_model_gives_real_captions_and_odd_ones_the_labels_of_the_library(shared_data: Path):
    datacomp = shared_data / "datacomp"
    path = str(datacomp / "assets" / "lid.176.bin")
    columns = [pq.read_table(file, columns=["text"])["text"] for file in sorted(datacomp.rglob("*.parquet")) if has_text(file)]
    texts = [text for column in columns for text in column.to_pylist() if text is not None][:20_000]
    assert len(texts) > 1000
    assert labels_of(path, [*texts, *TEXTS]) == library_labels(path, [*texts, *TEXTS])
    assert asked_of(path, texts) < len(texts) / 100

    @settings(max_examples=100)
    @given(st.lists(st.text(SIGNS, max_size=40), max_size=5))
    def check(texts: list[str]) -> None:
        assert labels_of(path, texts) == library_labels(path, texts)

    check()


def has_text(file: Path) -> bool:
    return "text" in pq.read_schema(file).names


@pytest.mark.parametrize("loss", ["tree", "softmax"])
def test_only_what_is_near_a_tie_is_asked_of_the_library(tmp_path: Path, loss: str):
    texts = [f"word{i} other{i * 7} dog" for i in range(2000)]
    clear = written(tmp_path / "clear.bin", model_bytes(loss))
    tied = written(tmp_path / "tied.bin", model_bytes(loss, labels=["en", "de"], scale=0.0))
    assert asked_of(clear, texts) < 40
    assert asked_of(tied, texts) == 2000
    assert labels_of(clear, texts) == library_labels(clear, texts)
    assert labels_of(tied, texts[:50]) == library_labels(tied, texts[:50])


def test_the_library_is_loaded_only_where_it_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = written(tmp_path / "model.bin", model_bytes("softmax", scale=3.0))
    loaded = []
    monkeypatch.setattr(language_module, "load_lid", lambda path: loaded.append(path) or load_lid(path))
    rule = language("en", path, Context(columns=("text",)), "language")
    rule.keep(pa.record_batch({"text": ["a dog in the garden", None, "каша"]}))
    assert loaded == []
    rule.keep(pa.record_batch({"text": ["dog </s> garden"]}))
    assert loaded == [path]


def test_nulls_are_dropped_and_columns_are_read_from_their_place_whatever_their_layout(tmp_path: Path):
    path = written(tmp_path / "model.bin", model_bytes())
    texts = pa.array(["cat", None, "dog house", "", None, "maison", "</s>"])
    layouts = {
        "plain": texts,
        "large": texts.cast(pa.large_string()),
        "dictionary": texts.dictionary_encode(),
        "view": texts.cast(pa.string_view()),
        "sliced": pa.concat_arrays([pa.array(["x", None]), texts, pa.array(["y"])]).slice(2, 7),
    }
    for label in LABELS:
        rule = FastTextLanguage(label, path)
        expected = [label_of == f"__label__{label}" for label_of in some_labels(path, texts.to_pylist())]
        for name, column in layouts.items():
            assert rule.keep(pa.record_batch({"text": column})).to_pylist() == expected, name
        for empty in (pa.array([], pa.string()), pa.nulls(0)):
            assert rule.keep(pa.record_batch({"text": empty})).to_pylist() == []
        assert rule.keep(pa.record_batch({"text": pa.nulls(2)})).to_pylist() == [False, False]


def some_labels(path: str, texts: Sequence[str | None]) -> list[str | None]:
    return [None if text is None else library_labels(path, [text])[0] for text in texts]


def test_bytes_that_are_no_utf8_are_read_within_their_bounds(tmp_path: Path):
    model = read_model(written(tmp_path / "model.bin", model_bytes()))
    odd = [b"\xe2\x80", b"\x80\x80 \xbf", b"<\xff\xc2", b"_", b"__", b"<"]
    ends = np.cumsum([0, *map(len, odd)], dtype=np.int32)
    column = pa.StringArray.from_buffers(len(odd), pa.py_buffer(ends), pa.py_buffer(b"".join(odd)))
    assert model is not None
    assert len(model.has_label(column, "__label__en")[0]) == len(odd)


def test_threads_agree(tmp_path: Path):
    path = written(tmp_path / "model.bin", model_bytes())
    batch = pa.record_batch({"text": [f"word{i} {'</s>' if i % 9 == 0 else ''}" for i in range(1000)]})
    rule = FastTextLanguage("de", path)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: rule.keep(batch).to_pylist(), range(8)))
    assert found == [found[0]] * 8


OTHER_KINDS = {
    "one against all": {"loss_number": 4},
    "negative sampling": {"loss_number": 2},
    "a word twice": {"words": ["dog", "dog"]},
    "a label twice": {"labels": ["en", "en", "de"]},
    "n-grams of 1 to 33": {"ngrams": (1, 33)},
}


@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_a_model_of_another_kind_is_left_to_the_library_and_is_costly(tmp_path: Path, kind: str):
    path = written(tmp_path / "model.bin", model_bytes(**{"loss": "tree", **OTHER_KINDS[kind]}))
    assert read_model(path) is None
    rule, texts = FastTextLanguage("en", path), ["a dog", "каша", "a dog", None]
    assert rule.costly == 2
    kept = rule.keep(pa.record_batch({"text": texts})).to_pylist()
    assert kept == [label == "__label__en" for label in some_labels(path, texts)]


def test_a_model_that_is_read_here_holds_no_threads(tmp_path: Path):
    assert FastTextLanguage("en", written(tmp_path / "model.bin", model_bytes())).costly == 1


@pytest.mark.parametrize("kept", [0, 3, 8, 60, 100, 200, 400, 2000, -1])
def test_a_model_that_is_cut_short_is_refused_before_any_work(tmp_path: Path, kept: int):
    path = written(tmp_path / "cut.bin", model_bytes()[:kept])
    with pytest.raises(UserError, match=r"--lid-model .*cut\.bin: not a fastText model"):
        language("en", path, Context(columns=()), "language")


def read(path: str) -> FastTextModel | None:
    """The model, None where there is none to be had without the library."""
    try:
        return read_model(path)
    except UserError:
        return None


NUMBERS = {  # where an int32 or int64 of the head stands, and what it is changed to
    "dimensions": (8, "<i", [-1, 0, 7, 9, 2**31 - 1]),
    "buckets": (40, "<i", [-1, 0, 501, 2**31 - 1]),
    "entries": (64, "<i", [-1, 0, 11, 13, 2**31 - 1]),
    "words": (68, "<i", [-1, 0, 5, 7, 2**31 - 1]),
    "labels": (72, "<i", [-1, 0, 5, 7, 2**31 - 1]),
    "pruned": (84, "<q", [0, 1, 2**62]),
}


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_that_do_not_fit_are_left_to_the_library(tmp_path: Path, number: str):
    at, form, values = NUMBERS[number]
    for value in values:
        changed = bytearray(model_bytes())
        struct.pack_into(form, changed, at, value)
        assert read(written(tmp_path / f"{value}.bin", bytes(changed))) is None, value


def test_sizes_of_matrices_and_counts_of_labels_that_do_not_fit_are_left_to_the_library(tmp_path: Path):
    whole = model_bytes()
    first = whole.index(struct.pack("<?qq", False, len(WORDS) + 500, 8))
    second = whole.index(struct.pack("<?qq", False, len(LABELS), 8))
    label = whole.index(b"__label__en\0") + len(b"__label__en\0")
    changes = {(at + 1, value) for at in (first, second) for value in (-1, 0, 5, 507, 2**61, 2**62)}
    changes |= {(at + 9, value) for at in (first, second) for value in (-1, 0, 7, 2**60)}
    changes |= {(label, value) for value in (-1, 10**15, 2**63 - 1)}
    for at, value in changes:
        changed = bytearray(whole)
        struct.pack_into("<q", changed, at, value)
        assert read(written(tmp_path / f"{at}_{value}.bin", bytes(changed))) is None, (at, value)


@settings(max_examples=200)
@given(st.integers(0, len(model_bytes()) - 1), st.binary(min_size=1, max_size=8), st.integers(0, 3))
def test_a_damaged_model_is_left_to_the_library_or_read_within_its_bounds(
    tmp_path_factory: pytest.TempPathFactory, at: int, rubbish: bytes, near: int
):
    at = at if near == 0 else at % 300  # the head and the words, mostly
    damaged = model_bytes()[:at] + rubbish + model_bytes()[at + len(rubbish) :]
    path = tmp_path_factory.mktemp("damaged") / "model.bin"
    if (model := read(written(path, damaged))) is not None:
        has, sure = model.has_label(pa.array(TEXTS[:14], pa.string()), "__label__en")
        assert len(has) == len(sure) == 14


def test_rows_that_are_no_numbers_make_nothing_sure(tmp_path: Path):
    for loss in ("tree", "softmax"):
        for number in (np.nan, np.inf):
            content = bytearray(model_bytes(loss))
            content[-4:] = struct.pack("<f", number)  # of the last label's weights
            assert asked_of(written(tmp_path / f"{loss}_{number}.bin", bytes(content)), ["a dog", "каша"]) == 2


def test_filters_that_ask_for_no_language_load_no_compiler():
    code = "import sys, json; import pipeline.filter.select, pipeline.filter.ready; from filters.registry import build, Context\n"
    code += "build('clip_score', {'arch': 'l14', 'threshold': 0.3}, Context(columns=('clip_l14_similarity_score',)))\n"
    code += "print(json.dumps([name for name in ('numba', 'llvmlite', 'fasttext') if name in sys.modules]))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ))
    assert json.loads(ran.stdout) == []
