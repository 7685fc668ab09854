"""Models, heads and text scorers that are added to scores that stand: nothing is computed twice, and no row is mixed up."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.score import ScoreConfig, run
from schemas.errors import UserError
from schemas.scores import SCORES


@pytest.fixture
def shards(tmp_path: Path, sample, write_tar) -> Path:
    """Two shards; in the first a sample in the middle is broken."""
    write_tar(tmp_path / "shards" / "00000.tar", [*sample(0), *sample(1, jpg=b"broken"), *sample(2), *sample(3)])
    return write_tar(tmp_path / "shards" / "00001.tar", [*sample(4), *sample(5)]).parent


@pytest.fixture
def other(tmp_path: Path) -> str:
    """A checkpoint of our demo model, whose images are of another size than the tiny model's."""
    import torch

    from pipeline.clip import load_clip

    with torch.random.fork_rng():
        torch.manual_seed(1)
        torch.save(load_clip("demo", None).model.state_dict(), tmp_path / "demo.pt")
    return str(tmp_path / "demo.pt")


@pytest.fixture
def score(shards: Path, tmp_path: Path) -> Callable[..., Path]:
    """score(out, model, checkpoint, column, **options): run the stage; its folder."""

    def scored(out: str, model: str | None = None, pretrained: str | None = None, column: str | None = None, **options) -> Path:
        chosen = {"model": model, "pretrained": pretrained, "column": column, "device": "cpu", **options}
        run(ScoreConfig(shards=str(shards), out=str(tmp_path / out), **chosen))
        return tmp_path / out

    return scored


def plan(path: Path, *tables: str) -> str:
    path.write_text("\n".join(tables))
    return str(path)


def contents(folder: Path) -> dict[str, tuple[pa.Table, dict[str, np.ndarray]]]:
    return {
        path.stem: (pq.read_table(path), dict(np.load(path.with_suffix(".npz")).items()))
        for path in sorted(folder.glob("0*.parquet"))
    }


def same(one: Path, two: Path) -> None:
    first, second = contents(one), contents(two)
    assert first.keys() == second.keys()
    for stem, (table, arrays) in first.items():
        assert table.equals(second[stem][0])
        assert sorted(arrays) == sorted(second[stem][1])
        assert all(np.array_equal(array, second[stem][1][name]) for name, array in arrays.items())


def test_models_added_one_after_another_and_all_in_one_pass_give_the_same_files(score, tiny, other: str, tmp_path: Path):
    models = [
        f'[[model]]\nname = "{tiny.name}"\npretrained = "{tiny.checkpoint}"\ncolumn = "b32"\n',
        f'[[model]]\nname = "demo"\npretrained = "{other}"\n',
    ]
    together = score("together", plan_file=plan(tmp_path / "models.toml", *models))
    score("added", "demo", other)
    added = score("added", tiny.name, tiny.checkpoint, "b32")
    same(together, added)
    table, arrays = contents(added)["00000"]
    assert table.schema.names == [*SCORES.names, "clip_demo_similarity_score"]
    assert table["clip_b32_similarity_score"].null_count == table["clip_demo_similarity_score"].null_count == 0
    assert sorted(arrays) == ["b32_img", "b32_txt", "demo_img", "demo_txt"]
    assert table["key"].to_pylist() == ["000000000", "000000002", "000000003"]
    manifest = json.loads((added / "_manifest.json").read_text())
    assert sorted(manifest["config"]["columns"]) == ["b32", "demo"]
    assert manifest["counts"] == {"rows_in": 6, "rows_out": 5, "dropped_broken_image": 1}


def test_what_stands_is_not_computed_again(score, tiny, other: str):
    folder = score("out", tiny.name, tiny.checkpoint, "tiny")
    before = contents(folder)
    again = folder / "00001.npz"
    made = again.stat().st_mtime_ns
    score("out", tiny.name, tiny.checkpoint, "tiny")
    assert again.stat().st_mtime_ns == made
    score("out", "demo", other, "demo")
    for stem, (table, arrays) in contents(folder).items():
        assert table.select(before[stem][0].schema.names).equals(before[stem][0])
        assert np.array_equal(arrays["tiny_img"], before[stem][1]["tiny_img"])


def test_a_column_of_other_weights_or_settings_is_refused_and_leaves_what_stands(score, tiny, other: str, tmp_path: Path):
    import torch

    folder = score("out", tiny.name, tiny.checkpoint, "mine")
    before = {path.name: path.read_bytes() for path in folder.glob("0*")}
    for refused in (("demo", other, "mine", {}), (tiny.name, tiny.checkpoint, "mine", {"precision": "bf16"})):
        with pytest.raises(UserError, match="columns mine: "):
            score("out", *refused[:3], **refused[3])
    moved = tmp_path / "moved.pt"
    moved.write_bytes(Path(tiny.checkpoint).read_bytes())
    score("out", tiny.name, str(moved), "mine")
    torch.save({name: value * 2 for name, value in torch.load(other, weights_only=True).items()}, other)
    assert {path.name: path.read_bytes() for path in folder.glob("0*")} == before
    assert (folder / "_manifest.json").exists()


def test_a_shard_whose_pairs_have_changed_is_not_added_to(score, tiny, other: str, shards: Path, request: pytest.FixtureRequest):
    sample, write_tar = (request.getfixturevalue(name) for name in ("sample", "write_tar"))
    folder = score("out", tiny.name, tiny.checkpoint, "tiny")
    before = (folder / "00001.parquet").read_bytes()
    write_tar(shards / "00001.tar", [*sample(5), *sample(4)])  # of the same size: the folder's hash does not tell
    config = ScoreConfig(shards=str(shards), out=str(folder), model="demo", pretrained=other, column="demo", device="cpu")
    manifest = run(config)
    assert [report.path for report in manifest.failed_inputs] == [str(shards / "00001.tar")]
    assert "has other pairs now" in manifest.failed_inputs[0].error
    assert (folder / "00001.parquet").read_bytes() == before


def test_heads_and_text_scorers_need_no_image_and_no_model(score, tiny, shards: Path, tmp_path: Path):
    import torch

    head = tmp_path / "head.pt"
    torch.save({"weight": torch.linspace(-1, 1, 32)[None], "bias": torch.tensor([0.5])}, head)
    tables = [f'[[head]]\nname = "aesthetic"\nweights = "{head}"\non = "tiny_img"\n', '[[text]]\nscorer = "lang"\n']
    model = f'[[model]]\nname = "{tiny.name}"\npretrained = "{tiny.checkpoint}"\ncolumn = "tiny"\n'
    together = score("together", plan_file=plan(tmp_path / "all.toml", model, *tables))
    score("added", tiny.name, tiny.checkpoint, "tiny")
    sizes = [(path, path.stat().st_size) for path in shards.glob("*.tar")]
    for path, size in sizes:
        path.write_bytes(bytes(size))
    added = score("added", plan_file=plan(tmp_path / "rest.toml", *tables))
    same(together, added)
    table, arrays = contents(added)["00000"]
    assert table.schema.names == [*SCORES.names, "aesthetic_score", "clip_tiny_similarity_score", "text_lang", "text_lang_prob"]
    image = torch.nn.functional.normalize(torch.from_numpy(arrays["tiny_img"].astype(np.float32)), dim=-1)
    expected = (image @ torch.linspace(-1, 1, 32) + 0.5).numpy()
    assert np.allclose(table["aesthetic_score"].to_numpy(), expected, atol=1e-5)


def test_a_head_on_an_array_that_nobody_makes_is_told(score, tiny, tmp_path: Path):
    import torch

    torch.save({"weight": torch.ones(1, 32), "bias": torch.zeros(1)}, tmp_path / "head.pt")
    tables = [
        f'[[model]]\nname = "{tiny.name}"\npretrained = "{tiny.checkpoint}"\ncolumn = "tiny"\n',
        f'[[head]]\nname = "nsfw"\nweights = "{tmp_path / "head.pt"}"\non = "l14_img"\n',
    ]
    folder = score("out", plan_file=plan(tmp_path / "plan.toml", *tables))
    report = json.loads((folder / "_manifest.json").read_text())["inputs"][0]
    assert report["error"] == "head nsfw: there is no array l14_img, but tiny_img, tiny_txt"


def test_shards_that_lack_what_others_have_are_counted(score, tiny, other: str):
    folder = score("out", tiny.name, tiny.checkpoint, "tiny")
    (folder / "00001.npz").unlink()
    score("out", "demo", other, "demo")
    assert json.loads((folder / "_manifest.json").read_text())["facts"]["parts_without"] == {"tiny": 1}
    score("out", tiny.name, tiny.checkpoint, "tiny")
    assert "parts_without" not in json.loads((folder / "_manifest.json").read_text())["facts"]


@pytest.mark.parametrize("content", [b"", b"PK\3\4 cut short"])
def test_damaged_arrays_name_their_file_and_fail_their_shard(score, tiny, other: str, shards: Path, content: bytes):
    folder = score("out", tiny.name, tiny.checkpoint, "tiny")
    (folder / "00001.npz").write_bytes(content)
    config = ScoreConfig(shards=str(shards), out=str(folder), model="demo", pretrained=other, column="demo", device="cpu")
    (failed,) = run(config).failed_inputs
    assert f"{folder}/00001.parquet and .npz: damaged" in failed.error


CLASHING = """
import pyarrow as pa


class Scorer:
    columns = pa.schema([pa.field("text_lang", pa.string())])

    def score(self, texts):
        return {"text_lang": ["?"] * len(texts)}

    def identity(self):
        return {}
"""


def test_a_column_that_another_scorer_made_is_not_overwritten(score, tiny, shards: Path, tmp_path: Path, monkeypatch):
    score("out", tiny.name, tiny.checkpoint, "tiny")
    folder = score("out", plan_file=plan(tmp_path / "lang.toml", '[[text]]\nscorer = "lang"\n'))
    before = (folder / "00000.parquet").read_bytes()
    (tmp_path / "clashing.py").write_text(CLASHING)
    monkeypatch.syspath_prepend(str(tmp_path))
    toml = plan(tmp_path / "clash.toml", '[[text]]\nscorer = "clashing:Scorer"\n')
    failed = run(ScoreConfig(shards=str(shards), out=str(folder), plan_file=toml, device="cpu")).failed_inputs
    assert "clashing:Scorer: text_lang stands there, made by another" in failed[0].error
    assert (folder / "00000.parquet").read_bytes() == before


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("[[model]", "not TOML"),
        ("[model]\nname = 'a'", "write tables with two brackets"),
        ("[[modle]]\nname = 'a'", "unknown modle; its tables are"),
        ("[[model]]\nname = 'a'", r"\[\[model\]\] 1: pretrained missing"),
        ("[[model]]\nname = 'a'\npretrained = 'b'\nsize = 'c'", r"\[\[model\]\] 1: unknown size; its keys are"),
        ("[[model]]\nname = 'a'\npretrained = 3", r"\[\[model\]\] 1: write it as a table of texts"),
        ("[[model]]\nname = 'a'\npretrained = 'b'\nprecision = 'int8'", "precision 'int8'; choose auto, fp32"),
        ("[[model]]\nname = 'a'\npretrained = 'b'\n[[model]]\nname = 'A'\npretrained = 'c'", "a: asked for 2 times"),
        ("", "asks for nothing"),
    ],
)
def test_a_plan_that_will_not_do_names_the_file_and_the_table(score, tmp_path: Path, toml: str, message: str):
    path = plan(tmp_path / "plan.toml", toml)
    with pytest.raises(UserError, match=message) as caught:
        score("out", plan_file=path)
    assert path in str(caught.value)
    assert not (tmp_path / "out").exists()
