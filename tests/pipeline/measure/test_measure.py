"""webpairs measure: a number per row beside the metadata, which filters then read like any column."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.cli import main

ROWS, DIMENSIONS = 90, 16
UIDS = [f"{i * 7919 % 251:032x}" for i in range(ROWS)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """90 rows in 3 files with images' and texts' embeddings; row 4's are zero."""
    rng = np.random.default_rng(1)
    images, texts = (rng.normal(size=(ROWS, DIMENSIONS)).astype(np.float16) for _ in range(2))
    images[4] = 0
    (tmp_path / "m").mkdir()
    for i in range(3):
        part = slice(30 * i, 30 * i + 30)
        pq.write_table(pa.table({"uid": UIDS[part], "text": ["t"] * 30}), tmp_path / "m" / f"{i}.parquet")
        np.savez(tmp_path / "m" / f"{i}.npz", x_img=images[part], x_txt=texts[part])
    np.save(tmp_path / "target.npy", rng.normal(size=(7, DIMENSIONS)).astype(np.float32))
    return tmp_path


def measured(folder: Path, *words: str, out: str = "out") -> pa.Table:
    assert main(["measure", "--metadata", str(folder / "m"), "--out", str(folder / out), *words]) == 0
    return pa.concat_tables([pq.read_table(path) for path in sorted((folder / out).glob("*.parquet"))])


def norm_sim(folder: Path) -> np.ndarray:
    """The plain definition, row by row."""
    rows = np.concatenate([np.load(folder / "m" / f"{i}.npz")["x_img"] for i in range(3)]).astype(np.float64)
    target = np.load(folder / "target.npy").astype(np.float64)
    unit = target / np.linalg.norm(target, axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        return np.abs(rows / np.linalg.norm(rows, axis=1, keepdims=True) @ unit.T).max(axis=1)


NORM_SIM = ("--name", "norm_sim", "--arch", "x")


def test_the_column_stands_beside_the_metadata_row_by_row_and_null_where_there_is_no_number(folder: Path):
    table = measured(folder, *NORM_SIM, "--param", f"target={folder / 'target.npy'}")
    assert table.column_names == ["uid", "norm_sim_x"]
    assert table["uid"].to_pylist() == UIDS
    values, expected = table["norm_sim_x"].to_numpy(), norm_sim(folder)
    assert np.allclose(np.delete(values, 4), np.delete(expected, 4), atol=2e-3)
    assert np.isnan(values[4])
    manifest = json.loads((folder / "out" / "_manifest.json").read_text())
    assert (manifest["counts"]["rows_out"], manifest["counts"]["rows_without"]) == (ROWS, 1)


def test_a_filter_by_the_column_keeps_what_the_filter_that_measures_for_itself_keeps(folder: Path):
    target = f"target={folder / 'target.npy'}"
    measured(folder, *NORM_SIM, "--param", target)
    inputs = ["--metadata_dir", str(folder / "m")]
    direct = ["--name", "norm_sim", "--arch", "x", "--fraction", "0.3", "--param", target]
    assert main(["filter", *direct, *inputs, "--save_path", str(folder / "a.npy")]) == 0
    stored = ["--name", "score_range", "--fraction", "0.3", "--param", "column=norm_sim_x", "--beside", str(folder / "out")]
    assert main(["filter", *stored, *inputs, "--save_path", str(folder / "b.npy")]) == 0
    assert (folder / "a.npy").read_bytes() == (folder / "b.npy").read_bytes()


def test_a_measure_of_the_whole_pool_is_the_same_on_any_number_of_workers(folder: Path):
    words = ("--name", "negclip_loss", "--arch", "x", "--param", "batch_rows=20")
    one = measured(folder, *words)
    assert one.equals(measured(folder, *words, "--workers", "2", out="two"))
    assert np.isfinite(one["negclip_loss_x"].drop_null().to_numpy()).all()


def test_a_head_over_stored_embeddings_gives_what_its_weights_say(folder: Path):
    import torch

    weight = torch.randn(1, DIMENSIONS, generator=torch.Generator().manual_seed(0))
    torch.save({"weight": weight, "bias": torch.tensor([0.5])}, folder / "aesthetic.pt")
    table = measured(folder, "--head", str(folder / "aesthetic.pt"), "--on", "x_img")
    rows = torch.from_numpy(np.load(folder / "m" / "0.npz")["x_img"]).float()
    expected = (torch.nn.functional.normalize(rows, dim=-1) @ weight.T)[:, 0] + 0.5
    assert np.allclose(table["aesthetic_score"].to_numpy()[:30], expected.numpy(), atol=1e-5)


def test_the_same_folder_takes_no_other_measure(folder: Path, capsys: pytest.CaptureFixture[str]):
    measured(folder, *NORM_SIM, "--param", f"target={folder / 'target.npy'}")
    other = ["--name", "norm_sim", "--arch", "x", "--param", f"target={folder / 'target.npy'}", "p=2", "--column", "norm_sim_x"]
    assert main(["measure", "--metadata", str(folder / "m"), "--out", str(folder / "out"), *other]) == 1
    assert "param" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ((), 2, "give either --name or --head"),
        (("--name", "min_side"), 2, "--name min_side: it has no measure to store"),
        (("--name", "norm_sim", "--arch", "x"), 2, "norm_sim: give target"),
        (("--name", "norm_sim", "--arch", "x", "--param", "target=/nowhere.npy"), 1, "/nowhere.npy: no such file"),
        (("--name", "negclip_loss", "--arch", "y"), 1, "y_img"),
        (("--head", "h.pt"), 2, "--head: give --on ARRAY"),
        (("--head", "/nowhere.pt", "--on", "x_img"), 1, "/nowhere.pt: no such file"),
        (
            ("--name", "negclip_loss", "--arch", "x", "--column", "sha256"),
            2,
            "--column sha256: metadata has a column of that name",
        ),
        (("--name", "negclip_loss", "--arch", "x", "--column", "../x"), 2, "--column ../x: use a-z"),
    ],
)
def test_what_cannot_be_done_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str], words, status: int, message: str):
    assert main(["measure", "--metadata", str(folder / "m"), "--out", str(folder / "out"), *words]) == status
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        (*NORM_SIM, "--param", "target=t.npy", "threshold=0.3"),
        (*NORM_SIM, "--param", "target=t.npy", "arch=y"),
        (*NORM_SIM, "--param", "target=t.npy", "--on", "x_img"),
        ("--head", "h.npz", "--on", "x_img", "--arch", "x"),
        ("--head", "h.npz", "--on", "x_img", "--param", "a=1"),
    ],
)
def test_an_option_that_would_have_no_effect_is_refused(folder: Path, words: tuple[str, ...]):
    assert main(["measure", "--metadata", str(folder / "m"), "--out", str(folder / "out"), *words]) == 2
