"""webpairs score: shards in; columns and embeddings out, row by row the same pair."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.cli import main
from pipeline.score import ScoreConfig, run
from pipeline.score.plan import column_name
from schemas.errors import UserError
from schemas.scores import SCORES

COLUMN = "clip_tiny_similarity_score"


@pytest.fixture
def score(tiny, tmp_path: Path) -> Callable[..., pa.Table]:
    """score(shards, **options): run the stage; the rows of shard 00000."""

    def scored(shards: Path, *, out: str = "out", **options: object) -> pa.Table:
        chosen = {"model": tiny.name, "pretrained": tiny.checkpoint, "column": "tiny", "device": "cpu", **options}
        run(ScoreConfig(shards=str(shards), out=str(tmp_path / out), **chosen))
        return pq.read_table(tmp_path / out / "00000.parquet")

    return scored


@pytest.fixture
def shards(tmp_path: Path, sample, write_tar) -> Path:
    """One shard of seven pairs."""
    return write_tar(tmp_path / "shards" / "00000.tar", [m for i in range(7) for m in sample(i)]).parent


def plain_loop(tiny, tar: Path) -> np.ndarray:
    """(n,) similarities as open_clip's own README computes them, one pair at a time."""
    import io
    import tarfile

    import torch
    from PIL import Image

    from pipeline.clip import open_clip

    net, _, preprocess = open_clip.create_model_and_transforms(tiny.name, pretrained=tiny.checkpoint)
    net.eval()
    found, tokenize = [], open_clip.get_tokenizer(tiny.name)
    with tarfile.open(tar) as archive, torch.no_grad():
        contents = {m.name: archive.extractfile(m).read() for m in archive}
        for name in [name for name in contents if name.endswith(".jpg")]:
            image = net.encode_image(preprocess(Image.open(io.BytesIO(contents[name]))).unsqueeze(0))
            text = net.encode_text(tokenize([contents[name[:-3] + "txt"].decode()]))
            found.append((image / image.norm() @ (text / text.norm()).T).item())
    return np.array(found)


@pytest.mark.parametrize(("preprocess", "within"), [("exact", 1e-6), ("fast", 1e-3)])
def test_scores_equal_open_clips_plain_loop(score, shards: Path, tiny, preprocess: str, within: float):
    found = score(shards, preprocess=preprocess)[COLUMN].to_numpy()
    assert np.abs(found - plain_loop(tiny, shards / "00000.tar")).max() < within


def test_a_score_does_not_depend_on_the_batch(score, shards: Path):
    tables = [score(shards, out=f"out{size}", batch_size=size) for size in (1, 3, 100)]
    for table in tables[1:]:
        assert np.abs(table[COLUMN].to_numpy() - tables[0][COLUMN].to_numpy()).max() < 1e-3
        assert table.drop_columns(COLUMN).equals(tables[0].drop_columns(COLUMN))


def test_columns_stand_in_datacomps_order_and_tell_what_the_shard_tells(score, shards: Path):
    table = score(shards)
    assert table.schema.names == [*SCORES.names, COLUMN]
    row = table.to_pylist()[3]
    assert row["uid"] == f"{3:032x}"
    assert (row["key"], row["shard"], row["text"]) == ("000000003", "00000", "a caption 3")
    assert (row["url"], row["sha256"], row["width"], row["height"]) == ("http://a.example/3.jpg", "ab" * 32, 48, 40)
    assert len(row["phash"]) == 16
    assert row["clip_b32_similarity_score"] is None


def test_embeddings_are_unit_float16_in_the_rows_order(score, shards: Path, tmp_path: Path):
    table = score(shards)
    arrays = np.load(tmp_path / "out" / "00000.npz")
    assert sorted(arrays) == ["tiny_img", "tiny_txt"]
    image, text = (arrays[name].astype(np.float32) for name in ("tiny_img", "tiny_txt"))
    assert (arrays["tiny_img"].dtype, arrays["tiny_img"].shape) == (np.float16, (7, 32))
    assert np.allclose(np.linalg.norm(image, axis=1), 1, atol=2e-3)
    assert np.allclose((image * text).sum(axis=1), table[COLUMN].to_numpy(), atol=5e-3)


def test_b32_as_column_fills_datacomps_own(score, shards: Path, tmp_path: Path):
    table = score(shards, column="b32")
    assert table.schema.names == SCORES.names
    assert table["clip_b32_similarity_score"].null_count == 0
    assert sorted(np.load(tmp_path / "out" / "00000.npz")) == ["b32_img", "b32_txt"]


def test_the_column_is_named_after_the_model_where_none_is_given():
    assert column_name("ViT-B-32", "openai") == "b32"
    assert column_name("ViT-L/14", "openai") == "l14"
    assert column_name("ViT-B-32", "datacomp_xl_s13b_b90k") == "vit_b_32"
    assert column_name("demo", "/models/demo.pt") == "demo"


def test_samples_that_cannot_be_scored_are_counted_and_named_and_shift_no_row(score, tmp_path: Path, sample, write_tar):
    good = [m for i in (0, 4, 8) for m in sample(i)]
    mixed = [
        *sample(0),
        *sample(1, jpg=b"not an image"),
        *sample(2, txt=None, json=b'{"uid": "%s"}' % (b"1" * 32)),
        *sample(3, jpg=sample(3)[0][1][:300]),
        *sample(4),
        *sample(5, json=b"{}"),
        *sample(6, json=b"broken"),
        *sample(7, jpg=None),
        *sample(8),
    ]
    whole = score(write_tar(tmp_path / "good" / "00000.tar", good).parent, out="whole")
    table = score(write_tar(tmp_path / "mixed" / "00000.tar", mixed).parent, batch_size=2)
    assert table.drop_columns(COLUMN).equals(whole.drop_columns(COLUMN))
    assert np.allclose(table[COLUMN].to_numpy(), whole[COLUMN].to_numpy(), atol=1e-3)
    manifest = json.loads((tmp_path / "out" / "_manifest.json").read_text())
    assert manifest["counts"] == {
        "rows_in": 9,
        "rows_out": 3,
        "dropped_broken_image": 2,
        "dropped_no_caption": 1,
        "dropped_no_image": 1,
        "dropped_no_uid": 2,
    }
    assert manifest["facts"]["00000"]["dropped_broken_image"] == ["000000001", "000000003"]


def test_images_of_every_mode_and_format_are_scored(score, tmp_path: Path, sample, picture, write_tar):
    kinds = [("jpg", "JPEG", "CMYK"), ("png", "PNG", "P"), ("png", "PNG", "I;16"), ("webp", "WEBP", "RGBA"), ("gif", "GIF", "P")]
    members = []
    for i, (suffix, form, mode) in enumerate([*kinds, ("png", "PNG", "1"), ("jpeg", "JPEG", "L")]):
        members += sample(i, **{"jpg": None, suffix: picture(i, form=form, mode=mode)})
    assert len(score(write_tar(tmp_path / "s" / "00000.tar", members).parent)) == 7


def test_the_sidecar_tells_what_the_json_does_not(score, tmp_path: Path, shards: Path, sample, write_tar):
    write_tar(shards / "00000.tar", [m for i in range(3) for m in sample(i, json=None)])
    told = {"key": [f"{i:09d}" for i in range(4)], "uid": [f"{i:032x}" for i in range(4)], "lang": ["en", "de", None, "fr"]}
    pq.write_table(pa.table({**told, "url": ["u"] * 4, "opted_out": [True] * 4}), shards / "00000.parquet")
    table = score(shards)
    assert table["lang"].to_pylist() == ["en", "de", None]
    assert table["opted_out"].to_pylist() == [True] * 3


def test_a_member_name_is_never_a_path(score, tmp_path: Path, sample, write_tar):
    hostile = [(name.replace("000000000", "../../../escaped"), content) for name, content in sample(0)]
    table = score(write_tar(tmp_path / "s" / "00000.tar", hostile).parent)
    assert table["key"].to_pylist() == ["../../../escaped"]
    assert not list(tmp_path.parent.rglob("*escaped*"))


def test_a_cut_tar_is_partial_and_one_that_is_no_tar_has_failed(
    tiny, tmp_path: Path, shards: Path, capsys: pytest.CaptureFixture
):
    cut = shards / "00001.tar"
    cut.write_bytes((shards / "00000.tar").read_bytes()[:8000])
    (shards / "00002.tar").write_bytes(b"this is no tar" * 100)
    words = ["score", "--shards", str(shards), "--out", str(tmp_path / "out"), "--model", tiny.name, "--column", "tiny"]
    assert main([*words, "--pretrained", tiny.checkpoint]) == 1
    err = capsys.readouterr().err
    assert f"partial: {cut}: no end-of-archive mark: cut short" in err
    assert "00002.tar: not a readable tar" in err
    assert 0 < pq.read_metadata(tmp_path / "out" / "00001.parquet").num_rows < 7
    assert not (tmp_path / "out" / "00002.parquet").exists()


def test_a_tar_that_was_cut_short_is_read_again_when_it_is_whole(score, shards: Path):
    whole = (shards / "00000.tar").read_bytes()
    (shards / "00000.tar").write_bytes(whole[:8000] + b"\xff" * (len(whole) - 8000))
    few = len(score(shards))
    (shards / "00000.tar").write_bytes(whole)
    assert 0 < few < len(score(shards)) == 7


def test_a_shard_without_samples_gives_empty_files_of_the_same_shape(score, tmp_path: Path, write_tar):
    assert len(score(write_tar(tmp_path / "s" / "00000.tar", []).parent)) == 0
    assert np.load(tmp_path / "out" / "00000.npz")["tiny_img"].shape == (0, 32)


def test_the_same_shards_give_the_same_bytes(score, shards: Path, tmp_path: Path):
    score(shards, out="a")
    score(shards, out="b")
    for name in ("00000.parquet", "00000.npz"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_second_run_does_only_what_is_missing(score, shards: Path, tmp_path: Path, sample, write_tar):
    write_tar(shards / "00001.tar", sample(9))
    score(shards)
    before = (tmp_path / "out" / "00000.npz").stat().st_mtime_ns
    (tmp_path / "out" / "00001.parquet").unlink()
    score(shards, batch_size=2)
    assert (tmp_path / "out" / "00000.npz").stat().st_mtime_ns == before
    assert pq.read_metadata(tmp_path / "out" / "00001.parquet").num_rows == 1


def test_other_weights_under_the_same_path_are_not_mixed_in(score, shards: Path, tmp_path: Path, tiny):
    import torch

    checkpoint = tmp_path / "changed.pt"
    weights = torch.load(tiny.checkpoint, weights_only=True)["state_dict"]
    torch.save(weights, checkpoint)
    score(shards, pretrained=str(checkpoint))
    torch.save({name: value * 2 for name, value in weights.items()}, checkpoint)
    with pytest.raises(UserError, match=r"columns tiny: .*sha256"):
        score(shards, pretrained=str(checkpoint))


def test_datacomps_shards_are_scored(shared_data: Path, tmp_path: Path, tiny):
    folder = shared_data / "datacomp" / "shards"
    run(ScoreConfig(shards=str(folder), out=str(tmp_path / "out"), model=tiny.name, pretrained=tiny.checkpoint, column="tiny"))
    table = pa.concat_tables(pq.read_table(path) for path in sorted((tmp_path / "out").glob("*.parquet")))
    assert len(table) == 339
    assert table["face_bboxes"].null_count < 339


def test_what_score_writes_filter_reads(score, shards: Path, tmp_path: Path):
    scores = score(shards)[COLUMN].to_numpy()
    words = ["--name", "clip_score", "--arch", "tiny", "--fraction", "0.5", "--save_path", str(tmp_path / "s.npy")]
    assert main(["filter", "--metadata_dir", str(tmp_path / "out"), *words]) == 0
    kept = np.load(tmp_path / "s.npy")
    assert kept["f1"].tolist() == sorted(np.argsort(-scores)[:4].tolist())


def test_bf16_scores_are_near_those_of_fp32(score, shards: Path):
    exact, rough = score(shards, out="a"), score(shards, out="b", precision="bf16")
    assert np.abs(exact[COLUMN].to_numpy() - rough[COLUMN].to_numpy()).max() < 0.02


def test_worker_processes_give_what_one_process_gives(tmp_path: Path, sample, write_tar):
    import torch

    from pipeline.clip import load_clip

    torch.save(load_clip("demo", None).model.state_dict(), tmp_path / "demo.pt")
    for i in range(2):
        write_tar(tmp_path / "shards" / f"{i:05d}.tar", [m for j in range(3) for m in sample(10 * i + j)])
    options = {"shards": str(tmp_path / "shards"), "model": "demo", "pretrained": str(tmp_path / "demo.pt"), "device": "cpu"}
    for workers in (1, 2):
        run(ScoreConfig(out=str(tmp_path / f"out{workers}"), workers=workers, **options))
    for i in range(2):
        one, two = (pq.read_table(tmp_path / f"out{workers}" / f"{i:05d}.parquet") for workers in (1, 2))
        column = "clip_demo_similarity_score"
        assert one.drop_columns(column).equals(two.drop_columns(column))
        assert np.allclose(one[column].to_numpy(), two[column].to_numpy(), atol=1e-5)


def test_shards_weights_and_scores_may_all_lie_behind_urls(shards: Path, tiny, score, tmp_path: Path):
    fs = fsspec.filesystem("memory")
    fs.pipe_file("/scored/in/00000.tar", (shards / "00000.tar").read_bytes())
    fs.pipe_file("/scored/tiny.pt", Path(tiny.checkpoint).read_bytes())
    config = ScoreConfig(
        shards="memory://scored/in",
        out="memory://scored/out",
        model=tiny.name,
        pretrained="memory://scored/tiny.pt",
        column="tiny",
        device="cpu",
    )
    weights = hashlib.sha256(Path(tiny.checkpoint).read_bytes()).hexdigest()
    assert run(config).config["columns"]["tiny"]["weights"] == f"sha256 {weights}"
    score(shards)
    assert fs.cat_file("/scored/out/00000.parquet") == (tmp_path / "out" / "00000.parquet").read_bytes()
    fs.rm("/scored", recursive=True)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RuntimeError("CUDA error: an illegal memory access was encountered\nmore of it"), "cpu: CUDA error: an illegal memory"),
        (ValueError("one shard's own trouble"), None),
    ],
)
def test_a_device_that_is_lost_ends_the_run_and_other_errors_their_shard(
    shards: Path, tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, error: Exception, message: str | None
):
    from pipeline.score.towers import Towers

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(Towers, "images", fail)
    config = ScoreConfig(shards=str(shards), out=str(tmp_path / "out"), model=tiny.name, pretrained=tiny.checkpoint, device="cpu")
    if message:
        with pytest.raises(UserError, match=message):
            run(config)
    else:
        assert len(run(config).failed_inputs) == 1
