"""Text scorers: found by name or reference, called with their options, and checked in all that they answer."""

import hashlib
import json
import pickle
import re
import shutil
import subprocess
import sys
import types
from collections.abc import Callable
from datetime import date
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.pool.language import identify
from pipeline.score.text_scorers import GROUP, LoadedScorer, ScorerSpec, require_distinct, scorer_specs
from schemas.columns import doc_of
from schemas.errors import UsageError, UserError

REPOSITORY = Path(__file__).resolve().parents[3]
TEXTS = ["a small red house beside the lake", "ein kleines rotes Haus neben dem See", "1234", "\ud800 lone", ""]
MODULE = "scorers_of_the_test"
NUMBERS = count()

OWN = """
import pyarrow as pa
from schemas.errors import UserError


class Length:
    def __init__(self, unit="characters", times=1):
        if times < 0:
            raise UserError(f"times = {times}: must be at least 0")
        self.times = len(unit) / (len(unit) * times)
        self.columns = pa.schema([pa.field("text_length", pa.float32(), metadata={"doc": "length of the text"})])

    def score(self, texts):
        return {"text_length": [len(text) / self.times for text in texts]}

    def identity(self):
        return {"version": 3}


class Bare:
    columns = "text_length"


def breaks():
    raise RuntimeError("no model here")


def bare():
    return Bare()


number = 3
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a module of the user's, on the import path."""
    name = f"own_{hashlib.md5(str(tmp_path).encode()).hexdigest()[:8]}"
    (tmp_path / f"{name}.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path / name


def loaded(scorer: str, **options: Any) -> LoadedScorer:
    (spec,) = scorer_specs([{"scorer": scorer, **options}])
    return spec.load()


def values_of(scorer: LoadedScorer, texts: list[str]) -> dict[str, list]:
    return {field.name: array.to_pylist() for field, array in scorer.columns_of(texts).items()}


# The built-in one.


def test_lang_says_what_the_pool_would_say():
    langs, probabilities = identify(TEXTS)
    assert langs[:3] == ["en", "de", None]
    scorer = loaded("lang")
    assert values_of(scorer, TEXTS) == {"text_lang": langs, "text_lang_prob": pytest.approx(probabilities)}
    assert [(f.name, str(f.type)) for f in scorer.columns] == [("text_lang", "string"), ("text_lang_prob", "float")]
    assert scorer.identity()["is"]["model"] == "py3langid"


def test_lang_asks_a_fasttext_model_and_another_file_under_the_path_is_another_scorer(shared_data, tmp_path: Path):
    path = tmp_path / "lid.bin"
    shutil.copy(shared_data / "datacomp/assets/lid.176.bin", path)
    scorer = loaded("lang", model=str(path))
    langs, probabilities = identify(TEXTS[:3], str(path))
    assert values_of(scorer, TEXTS[:3]) == {"text_lang": langs, "text_lang_prob": pytest.approx(probabilities)}
    assert scorer.identity()["is"]["model"] == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    assert scorer.identity()["options"] == {"model": str(path)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"", "not a fastText model"),
        (b"no model at all" * 9, "not a fastText model that tells languages; give"),
    ],
)
def test_a_language_model_that_is_none_is_named(tmp_path: Path, content: bytes | None, message: str):
    path = tmp_path / "lid.bin"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=rf"text scorer lang: .*lid\.bin: {message}"):
        loaded("lang", model=str(path))


def test_options_that_lang_does_not_take_are_told():
    with pytest.raises(UserError, match=r"text scorer lang: could not be made of its options .*'modell'"):
        loaded("lang", modell="lid.bin")
    with pytest.raises(UserError, match="text scorer lang: model = 3 must be a path or URL"):
        loaded("lang", model=3)


# The user's own.


def test_a_factory_is_called_with_the_options_of_its_table(own: Path):
    scorer = loaded(f"{own.name}:Length", times=2)
    assert values_of(scorer, ["abc", ""]) == {"text_length": [6, 0]}
    assert doc_of(scorer.columns.field("text_length")) == "length of the text"
    assert scorer.identity() == {
        "scorer": f"{own.name}:Length",
        "options": {"times": 2},
        "columns": {"text_length": "float"},
        "is": {"version": 3},
    }


def test_a_scorer_is_made_once_per_process_and_its_spec_travels(own: Path):
    (spec,) = scorer_specs([{"scorer": f"{own.name}:Length", "times": 4}])
    again = pickle.loads(pickle.dumps(spec))
    assert again == spec
    assert again.load() is spec.load()
    assert spec.name == f"{own.name}:Length"
    assert spec.identity() == spec.load().identity()


@pytest.mark.parametrize(
    ("scorer", "message"),
    [
        (
            "nowhere_at_all:Thing",
            r"nowhere_at_all:Thing cannot be imported \(ModuleNotFoundError: .*install it, or set PYTHONPATH",
        ),
        ("{own}:Absent", r"cannot be imported \(AttributeError: .*Absent"),
        ("{own}:number", "is a int, not a factory"),
        ("{own}:breaks", r"could not be made of its options \(RuntimeError: no model here\)"),
        ("{own}:bare", "what was made, a Bare, has not all of `columns`"),
        ("langs", r"text scorer langs: no such; there is lang, or give package\.module:factory"),
    ],
)
def test_a_scorer_that_cannot_be_had_is_named_with_what_failed(own: Path, scorer: str, message: str):
    reference = scorer.format(own=own.name)
    with pytest.raises(UserError, match=rf"text scorer {re.escape(reference)}: .*{message}|{message}"):
        loaded(reference)


def test_what_a_factory_says_of_its_options_is_told(own: Path):
    with pytest.raises(UserError, match=r"Length: times = -1: must be at least 0"):
        loaded(f"{own.name}:Length", times=-1)


def test_installed_packages_offer_scorers_by_name(own: Path):
    def install(package: str, version: str) -> None:
        info = own.parent / f"{package}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[{GROUP}]\nlength = {own.name}:Length\nlang = {own.name}:Length\n")

    install("captions", "1.2")
    scorer = loaded("length")
    assert values_of(scorer, ["abc"]) == {"text_length": [3]}
    assert scorer.identity()["package"] == "captions 1.2"
    assert loaded("lang").columns.names == ["text_lang", "text_lang_prob"]
    with pytest.raises(UserError, match="no such; there is lang, length, or give"):
        loaded("lenght")
    install("others", "0.1")
    with pytest.raises(UserError, match=r"text scorer length: is offered by captions 1\.2 and others 0\.1; give"):
        loaded("length", times=7)


def test_the_scorer_in_the_docs_works(own: Path):
    (code,) = re.findall(
        r"```python\n(.*?class Words.*?)```", (REPOSITORY / "docs/score.md").read_text().rsplit("## Text")[-1], re.DOTALL
    )
    own.with_name(f"{own.name}_docs.py").write_text(code)
    assert values_of(loaded(f"{own.name}_docs:Words", separator="-"), ["a-b c", ""]) == {"n_words": [2, 0]}


# What a scorer answers.


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Callable[..., LoadedScorer]:
    """answering(answer, **columns): a scorer that declares these columns, and gives this answer, or raises it."""
    module = types.ModuleType(MODULE)
    monkeypatch.setitem(sys.modules, MODULE, module)

    def make(answer: Any, *, identity: Any = None, **columns: pa.DataType | pa.Field) -> LoadedScorer:
        class Scorer:
            def score(self, texts: list[str]) -> Any:
                if isinstance(answer, Exception):
                    raise answer
                return answer

            def identity(self) -> Any:
                return identity

        fields = [kind.with_name(name) if isinstance(kind, pa.Field) else pa.field(name, kind) for name, kind in columns.items()]
        Scorer.columns = pa.schema(fields)
        name = f"scorer_{next(NUMBERS)}"
        setattr(module, name, Scorer)
        return loaded(f"{MODULE}:{name}")

    return make


TWO = ["a", "b"]


@pytest.mark.parametrize(
    ("answer", "kind", "expected"),
    [
        ({"x": ["é", None]}, pa.string(), ["é", None]),
        ({"x": ["\ud800!", "ok"]}, pa.string(), ["?!", "ok"]),
        ({"x": np.array(["a", "b"])}, pa.string(), ["a", "b"]),
        ({"x": [0.5, float("nan")]}, pa.float32(), [0.5, None]),
        ({"x": np.array([0.5, np.nan])}, pa.float32(), [0.5, None]),
        ({"x": [1, 2]}, pa.float32(), [1, 2]),
        ({"x": (True, None)}, pa.bool_(), [True, None]),
        ({"x": [None, None]}, pa.int8(), [None, None]),
        ({"x": [None, -1]}, pa.int8(), [None, -1]),
        ({"x": np.array([1, 2], np.uint8)}, pa.int32(), [1, 2]),
        ({"x": pa.array([1, 2], pa.int64())}, pa.int64(), [1, 2]),
        ({"x": pa.chunked_array([[0.5], [0.25]], pa.float32())}, pa.float32(), [0.5, 0.25]),
        (pa.RecordBatch.from_pydict({"x": ["a", None]}), pa.string(), ["a", None]),
        (pa.RecordBatch.from_arrays([pa.array([float("nan"), 1], pa.float32())], ["x"]), pa.float32(), [None, 1]),
    ],
)
def test_what_fits_is_taken_as_declared(answering, answer: Any, kind: pa.DataType, expected: list):
    ((field, array),) = answering(answer, x=kind).columns_of(TWO).items()
    assert (field.name, field.type, array.type) == ("x", kind, kind)
    assert isinstance(array, pa.Array)
    assert array.to_pylist() == expected
    array.validate(full=True)


def invalid_utf8() -> pa.RecordBatch:
    offsets, data = pa.py_buffer(np.array([0, 1, 2], np.int32)), pa.py_buffer(b"\xff\xfe")
    return pa.RecordBatch.from_arrays([pa.StringArray.from_buffers(2, offsets, data)], ["x"])


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        ({"x": ["a"]}, pa.string(), "returned 1 values of x for 2 texts"),
        ({"x": ["a", "b", "c"]}, pa.string(), "returned 3 values of x for 2 texts"),
        (pa.RecordBatch.from_pydict({"x": ["a"]}), pa.string(), "returned 1 values of x for 2 texts"),
        ({"x": "ab"}, pa.string(), "returned a str for x; a list or array is expected"),
        ({"x": (c for c in "ab")}, pa.string(), "returned a generator for x"),
        ({"x": None}, pa.string(), "returned a NoneType for x"),
        ({"x": [b"a", "b"]}, pa.string(), "returned what is no string for x (TypeError: bytes b'a')"),
        ({"x": [0, "b"]}, pa.string(), "returned what is no string for x (TypeError: int 0)"),
        ({"x": ["a", 1.0]}, pa.float32(), "returned what is no float for x"),
        ({"x": [2**40, 1]}, pa.int32(), "returned what is no int32 for x"),
        ({"x": [2**70, 1]}, pa.int64(), "returned what is no int64 for x"),
        ({"x": [1.5, 1]}, pa.int32(), "returned what is no int32 for x"),
        ({"x": np.array([1.5, 1])}, pa.int32(), "returned what is no int32 for x"),
        ({"x": ["1", "2"]}, pa.int32(), "returned what is no int32 for x"),
        ({"x": ["1", "2"]}, pa.float32(), "returned what is no float for x"),
        ({"x": [True, 2]}, pa.bool_(), "returned what is no bool for x"),
        ({"x": [[1], [2]]}, pa.float32(), "returned what is no float for x"),
        ({"x": np.zeros((2, 2))}, pa.float32(), "returned what is no float for x"),
        (
            pa.RecordBatch.from_pydict({"x": [1.5, 1.0]}),
            pa.float32(),
            "returned what is no float for x (TypeError: a column of double)",
        ),
        (invalid_utf8(), pa.string(), "returned what is no string for x (ArrowInvalid: Invalid UTF8"),
        ({"y": TWO}, pa.string(), "returned the columns ['y'], and declares ['x']"),
        ({"x": TWO, "y": TWO}, pa.string(), "returned the columns ['x', 'y'], and declares ['x']"),
        ([("x", TWO)], pa.string(), "returned a list, not a dict of columns or a RecordBatch"),
        (RuntimeError("out of words"), pa.string(), "failed on 2 texts (RuntimeError: out of words)"),
        ({"x": ["a", None]}, pa.field("x", pa.string(), nullable=False), "returned 1 nulls for x, and declares that it has none"),
    ],
)
def test_what_does_not_fit_names_the_scorer_and_the_column(answering, answer: Any, kind: pa.DataType, message: str):
    scorer = answering(answer, x=kind)
    with pytest.raises(UserError) as caught:
        scorer.columns_of(TWO)
    assert str(caught.value).startswith(f"text scorer {scorer.reference}: ")
    assert message in str(caught.value)


def test_no_text_is_no_row_and_the_scorer_is_not_asked(answering):
    found = answering(RuntimeError("asked"), x=pa.string(), y=pa.int8()).columns_of([])
    assert [(field.name, len(array), array.type) for field, array in found.items()] == [
        ("x", 0, pa.string()),
        ("y", 0, pa.int8()),
    ]


@given(st.lists(st.text(st.characters(), max_size=20), min_size=1, max_size=20))
def test_any_texts_come_back_as_valid_columns(texts: list[str]):
    for array in loaded("lang").columns_of(texts).values():
        array.validate(full=True)
        assert len(array) == len(texts)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({}, "declares the columns []"),
        ({"Nsfw": pa.float32()}, "declares the column 'Nsfw'; a name has a-z, 0-9 and _ only"),
        ({"text": pa.string()}, "declares the column text, which scores have already"),
        ({"lang_prob": pa.float32()}, "declares the column lang_prob, which scores have already"),
        ({"clip_x_similarity_score": pa.float32()}, "declares the column clip_x_similarity_score, which scores"),
        ({"x": pa.float64()}, "declares x as double; string, bool, int8 to int64 and float32 are possible"),
        ({"x": pa.uint8()}, "declares x as uint8"),
        ({"x": pa.large_string()}, "declares x as large_string"),
        ({"x": pa.list_(pa.string())}, "declares x as list"),
    ],
)
def test_columns_that_the_table_cannot_have_are_refused(answering, columns: dict, message: str):
    with pytest.raises(UserError, match=rf"text scorer {MODULE}:\w+: {re.escape(message)}"):
        answering({}, **columns)


@pytest.mark.parametrize("identity", [None, {"at": date(2024, 5, 1)}, {"share": float("nan")}, [3]])
def test_an_identity_that_a_manifest_cannot_hold_is_refused(answering, identity: Any):
    with pytest.raises(UserError, match=rf"text scorer {MODULE}:\w+: identity\(\) is no dict of JSON values"):
        answering({}, identity=identity, x=pa.string()).identity()


# Tables.


def test_tables_become_specs_in_order():
    tables = [{"scorer": "lang", "model": "lid.bin"}, {"scorer": "a.b:C", "n": [1, {"x": 2.5}], "on": True}]
    first, second = scorer_specs(tables)
    assert first == ScorerSpec(scorer="lang", options_json='{"model": "lid.bin"}')
    assert json.loads(second.options_json) == {"n": [1, {"x": 2.5}], "on": True}
    assert hash(first) != hash(second)
    assert scorer_specs([]) == ()


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        (["lang"], "[[text]] 1: is 'lang'; write it as a table"),
        ([{}], "[[text]] 1: scorer missing; give"),
        ([{"scorer": "lang"}, {"scorrer": "lang"}], "[[text]] 2: scorer missing; it has scorrer; give"),
        ([{"scorer": 3}], "scorer = 3 is neither a name nor package.module:factory"),
        ([{"scorer": "a b"}], "scorer = 'a b' is neither"),
        ([{"scorer": "a:b:c"}], "scorer = 'a:b:c' is neither"),
        (
            [{"scorer": "lang", "since": date(2024, 5, 1)}],
            "[[text]] 1 (lang): Object of type date is not JSON serializable; give texts",
        ),
        ([{"scorer": "lang", "least": float("nan")}], "[[text]] 1 (lang): Out of range float values"),
        ([{"scorer": "lang"}, {"scorer": "lang", "model": "x"}], "[[text]]: lang is asked for 2 times"),
    ],
)
def test_tables_that_will_not_do_are_told(tables: list, message: str):
    with pytest.raises(UsageError, match=re.escape(message)):
        scorer_specs(tables)


def test_two_scorers_of_one_column_are_refused(own: Path):
    (own.parent / f"{own.name}_more.py").write_text(OWN)
    specs = scorer_specs([{"scorer": f"{own.name}:Length"}, {"scorer": "lang"}])
    require_distinct(specs, taken=("aesthetic_score",))
    with pytest.raises(UserError, match="text scorer lang: adds text_lang_prob, and so does something else"):
        require_distinct(specs, taken=("text_lang_prob",))
    more = scorer_specs([{"scorer": f"{own.name}_more:Length"}])
    with pytest.raises(UserError, match=rf"text scorer {own.name}_more:Length: adds text_length, and so does {own.name}:Length"):
        require_distinct([*specs, *more])


def test_reading_tables_loads_nothing_heavy():
    modules = "sys, pipeline.score.heads, pipeline.score.text_scorers"
    code = f"import {modules}; assert not {{'torch', 'faiss', 'pyspark', 'py3langid'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY)
