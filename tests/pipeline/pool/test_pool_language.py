"""Language: the bundled model by default, a fastText model's file where one is given."""

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import fasttext
import pyarrow.parquet as pq
import pytest

from filters.language import FastTextLanguage
from pipeline.pool import PoolConfig, run
from pipeline.pool.language import identify, local_model
from schemas.errors import UserError

TEXTS = ["a small red house beside the lake", "ein kleines rotes Haus neben dem See", "une petite maison\nrouge", "1234", "..."]


@pytest.fixture
def model(shared_data):
    """A stand-in for lid.176.bin: a small fastText model with the same labels' form."""
    return str(shared_data / "datacomp/assets/lid.176.bin")


@pytest.fixture
def config(tmp_path, row, write):
    return PoolConfig(
        candidates=write(tmp_path / "candidates", [row(text=text) for text in TEXTS]), out=str(tmp_path / "pool"), partitions=2
    )


def rows_of(folder):
    return [row for path in sorted(Path(folder).glob("*.parquet")) for row in pq.read_table(path).to_pylist()]


def test_the_bundled_model_tells_a_probability_and_does_not_guess_from_nothing():
    langs, probabilities = identify(TEXTS)
    assert langs[:2] == ["en", "de"]
    assert (langs[3], probabilities[3]) == (None, None)
    assert all(0.5 < probability <= 1 for probability in probabilities[:2])


def test_only_what_stands_in_the_first_thousand_characters_counts_for_the_bundled_model():
    text = "a small red house beside the lake " * 30
    assert identify([text])[0] == identify([text + "ein kleines rotes Haus " * 1000])[0] == ["en"]


def test_a_fasttext_model_answers_as_datacomp_asks_it(spark, config, model, batch, row):
    run(replace(config, language_model=model), spark)
    found = {row["text"]: (row["lang"], row["lang_prob"]) for row in rows_of(config.out)}
    assert len(found) == len(TEXTS)
    asked = fasttext.load_model(model)
    for text, (lang, probability) in found.items():
        (label,), (expected,) = asked.predict(text.replace("\n", " "))
        assert (f"__label__{lang}", probability) == (label, pytest.approx(min(expected, 1), abs=1e-4))
    for code in {lang for lang, _ in found.values()}:
        kept = FastTextLanguage(code=code, model_path=model).keep(batch([row(text=text) for text in found])).to_pylist()
        assert kept == [lang == code for lang, _ in found.values()]


def test_the_model_s_content_is_part_of_the_configuration_and_its_place_need_not_last(spark, config, model, tmp_path):
    copy = tmp_path / "lid.bin"
    shutil.copy(model, copy)
    config = replace(config, language_model=str(copy))
    first = run(config, spark)
    assert "sha256:" in first.config["language_model"]
    assert run(config, spark).parts_resumed == 2
    weights = bytearray(copy.read_bytes())
    weights[-4] ^= 1  # the least of the last weight's bits
    copy.write_bytes(weights)
    with pytest.raises(UserError, match=r"made with another configuration \(language_model"):
        run(config, spark)
    assert not (Path(config.out) / "_needed").exists()


def test_a_model_that_is_absent_is_named(config, tmp_path):
    with pytest.raises(UserError, match=r"absent\.bin: no such file"):
        run(replace(config, language_model=str(tmp_path / "absent.bin")))


@pytest.mark.parametrize("content", [b"", b"no model at all", None])
def test_a_model_that_is_broken_is_named_with_what_to_give(config, tmp_path, model, content):
    broken = tmp_path / "broken.bin"
    broken.write_bytes(Path(model).read_bytes()[:100_000] if content is None else content)
    with pytest.raises(UserError, match=r"--language-model .*broken\.bin: not a fastText model.*give fastText's lid\.176\.bin"):
        run(replace(config, language_model=str(broken)))
    assert not Path(config.out).exists()


def test_a_model_behind_a_url_is_read(model):
    import fsspec

    fsspec.filesystem("memory").pipe_file("/models/lid.bin", Path(model).read_bytes())
    with local_model("memory://models/lid.bin") as local:
        assert Path(local).read_bytes() == Path(model).read_bytes()
    assert not Path(local).exists()


def test_real_alt_texts_get_a_language_from_either_model(shared_data, model):
    texts = pq.read_table(shared_data / "wat/bench_base.warc.golden.parquet", columns=["text"])["text"].to_pylist()[:2000]
    for asked in ("", model):
        langs, probabilities = identify(texts, asked)
        assert all(probability is None or 0 < probability <= 1 for probability in probabilities)
        assert len(Counter(langs)) > 5
