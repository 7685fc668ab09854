"""webpairs decontaminate: copies of evaluation images that were planted in a pool are found, and little else."""

import io
import json
import tarfile
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline.cli import main
from pipeline.decontaminate.index import hashes_of
from pipeline.decontaminate.views import views_of
from pipeline.demo.pictures import draw
from pipeline.demo.scenes import sample_scene
from pipeline.score.decoding.image import decode
from pipeline.score.decoding.phash import phash

SIDE_PX = 160
ITEMS = 60


def encoded(image: Image.Image, *, quality: int = 92, form: str = "JPEG") -> bytes:
    target = io.BytesIO()
    image.save(target, form, quality=quality)
    return target.getvalue()


def noisy(seed: int) -> Image.Image:
    """A scene over grain of its own: pictures of the same few shapes are not copies of each other."""
    picture = np.asarray(draw(sample_scene(Random(seed)), SIDE_PX), np.float32)
    grain = np.random.default_rng(seed).normal(0, 40, (10, 10, 3)).astype(np.float32)
    rough = np.stack([np.asarray(Image.fromarray(grain[..., i]).resize((SIDE_PX, SIDE_PX))) for i in range(3)], axis=-1)
    return Image.fromarray(np.clip(picture + rough, 0, 255).astype(np.uint8))


def reencoded(image: Image.Image) -> bytes:
    return encoded(image, quality=50)


def resized(image: Image.Image) -> bytes:
    return encoded(image.resize((90, 90)), quality=85)


def cropped(image: Image.Image) -> bytes:
    cut = round(SIDE_PX * 0.1)
    return encoded(image.crop((cut, cut, SIDE_PX - cut, SIDE_PX - cut)))


def as_webp(image: Image.Image) -> bytes:
    return encoded(image, form="WEBP", quality=70)


class Pool(NamedTuple):
    root: Path
    planted: dict[str, str]  # uid → how its image was copied


COPIES = {"reencoded": reencoded, "resized": resized, "webp": as_webp, "cropped": cropped}


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    """An evaluation set of 60 images, and a pool of 240 copies of them, 60 of each kind, among 400 other images."""
    root = tmp_path_factory.mktemp("decontaminate")
    originals = [noisy(i) for i in range(ITEMS)]
    (root / "eval").mkdir()
    table = pa.table({"jpg": [encoded(image) for image in originals], "text": ["t"] * ITEMS})
    pq.write_table(table, root / "eval" / "ret_planted.parquet")
    rows, planted = [], {}
    for kind, copy in COPIES.items():
        for image in originals:
            uid = f"{len(rows):032x}"
            planted[uid] = kind
            rows.append((uid, phash(decode(copy(image)))))
    rows += [(f"{len(rows) + i:032x}", phash(decode(encoded(noisy(1000 + i))))) for i in range(400)]
    (root / "m").mkdir()
    for name, part in (("00000", rows[::2]), ("00001", rows[1::2])):
        columns = {"uid": [uid for uid, _ in part], "phash": [digits for _, digits in part], "text": ["t"] * len(part)}
        pq.write_table(pa.table(columns), root / "m" / f"{name}.parquet")
    return Pool(root, planted)


def marked(pool: Pool, out: Path, *words: str) -> dict[str, dict]:
    command = ["decontaminate", "--metadata", str(pool.root / "m"), "--eval", str(pool.root / "eval"), "--out", str(out)]
    assert main([*command, *words]) == 0
    return {row["uid"]: row for path in sorted(out.glob("*.parquet")) for row in pq.read_table(path).to_pylist()}


def recall(pool: Pool, rows: dict[str, dict], kind: str) -> float:
    asked = [uid for uid, how in pool.planted.items() if how == kind]
    return float(np.mean([rows[uid]["eval_set"] == "ret_planted" for uid in asked]))


def test_copies_are_found_by_their_hash_and_crops_by_the_crops_of_the_evaluation_images(pool: Pool, tmp_path: Path):
    whole, crops = marked(pool, tmp_path / "whole"), marked(pool, tmp_path / "crops", "--crops")
    assert {kind: recall(pool, whole, kind) >= 0.98 for kind in ("reencoded", "resized", "webp")} == {
        "reencoded": True,
        "resized": True,
        "webp": True,
    }
    assert recall(pool, whole, "cropped") < 0.5
    assert recall(pool, crops, "cropped") >= 0.95
    others = [row["eval_set"] is not None for uid, row in crops.items() if uid not in pool.planted]
    assert np.mean(others) <= 0.03


def test_the_item_that_a_copy_is_of_is_told_and_the_sets_are_counted(pool: Pool, tmp_path: Path):
    rows = marked(pool, tmp_path / "out")
    first = [rows[f"{i:032x}"]["eval_item"] for i in range(ITEMS)]
    assert np.mean([item == i for i, item in enumerate(first)]) >= 0.98
    manifest = json.loads((tmp_path / "out" / "_manifest.json").read_text())
    near = sum(row["eval_set"] is not None for row in rows.values())
    assert manifest["facts"]["sets"] == {"ret_planted": {"images": ITEMS, "pairs_near": near}}
    assert manifest["counts"]["rows_near"] == near


def test_rows_stand_in_their_order_and_a_filter_drops_what_is_near(pool: Pool, tmp_path: Path):
    rows = marked(pool, tmp_path / "out", "--workers", "2")
    metadata = [pq.read_table(pool.root / "m" / f"0000{i}.parquet")["uid"].to_pylist() for i in range(2)]
    assert list(rows) == [uid for part in metadata for uid in part]
    command = [
        "filter",
        "--name",
        "decontaminated",
        "--metadata_dir",
        str(pool.root / "m"),
        "--save_path",
        str(tmp_path / "s.npy"),
    ]
    assert main([*command, "--beside", str(tmp_path / "out"), "--param", "bits=8"]) == 0
    assert len(np.load(tmp_path / "s.npy")) == sum(row["eval_set"] is None for row in rows.values())


def scored(root: Path, vectors: np.ndarray, hashes: list[str | None], name: str) -> None:
    folder = root / name
    folder.mkdir(parents=True)
    pq.write_table(
        pa.table({"uid": [f"{i:032x}" for i in range(len(vectors))], "phash": pa.array(hashes, pa.string())}),
        folder / "0.parquet",
    )
    np.savez(folder / "0.npz", x_img=vectors.astype(np.float16))


def test_embeddings_of_scored_sets_need_no_images_and_no_model(tmp_path: Path):
    rng = np.random.default_rng(0)
    items = rng.normal(size=(40, 64))
    near = items[:5] + 0.05 * rng.normal(size=(5, 64))
    bad = np.stack([np.zeros(64), np.full(64, np.nan)])
    scored(tmp_path / "eval", items[:20], [None] * 20, "one")
    scored(tmp_path / "eval", items[20:], [None] * 20, "two")
    scored(tmp_path, np.concatenate([near, items[30:31], bad, rng.normal(size=(50, 64))]), [None] * 58, "m")
    command = [
        "decontaminate",
        "--metadata",
        str(tmp_path / "m"),
        "--eval",
        str(tmp_path / "eval"),
        "--out",
        str(tmp_path / "out"),
    ]
    assert main([*command, "--embeddings", "x_img"]) == 0
    rows = pq.read_table(tmp_path / "out" / "0.parquet").to_pylist()
    assert [row["eval_set"] for row in rows] == ["one"] * 5 + ["two"] + [None] * 52
    assert [row["eval_item"] for row in rows[:6]] == [0, 1, 2, 3, 4, 10]
    assert [row["eval_cos"] for row in rows[6:8]] == [None, None]
    assert rows[0]["eval_bits"] is None


def test_blank_pictures_are_near_to_nothing_by_their_hash(tmp_path: Path):
    scored(tmp_path / "eval", np.eye(4, 8), ["0" * 16, "f0f0f0f0f0f0f0f0", "8" + "0" * 15, None], "set")
    scored(tmp_path, np.eye(3, 8), ["0" * 16, "f0f0f0f0f0f0f0f1", "not hex digits!!"], "m")
    command = [
        "decontaminate",
        "--metadata",
        str(tmp_path / "m"),
        "--eval",
        str(tmp_path / "eval"),
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(command) == 0
    rows = pq.read_table(tmp_path / "out" / "0.parquet").to_pylist()
    assert [row["eval_set"] for row in rows] == [None, "set", None]
    assert rows[1]["eval_bits"] == 1


def test_views_are_the_picture_and_five_crops_of_each_size():
    views = list(views_of(np.zeros((100, 60, 3), np.uint8)))
    assert [view.shape[:2] for view in views] == [(100, 60)] + [(90, 54)] * 5 + [(80, 48)] * 5 + [(70, 42)] * 5


def test_hashes_that_are_none_are_known_as_such():
    values, known = hashes_of(pa.array(["00ff000000000000", None, "xyz", "F" * 16]))
    assert values.tolist() == [0x00FF000000000000, 0, 0, 2**64 - 1]
    assert known.tolist() == [True, False, False, True]


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--bits", "65"], 2, "--bits 65: must be 0 to 64"),
        (["--model", "demo"], 2, "give --model and --pretrained together"),
        (["--model", "demo", "--pretrained", "x.pt"], 2, "--model: give --embeddings ARRAY"),
        (["--embeddings", "l14_img"], 1, "--embeddings l14_img: the metadata has no such array"),
        (["--eval", "/nowhere"], 1, "/nowhere: no such folder"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    pool: Pool, tmp_path: Path, capsys: pytest.CaptureFixture[str], *, words: list[str], status: int, message: str
):
    command = [
        "decontaminate",
        "--metadata",
        str(pool.root / "m"),
        "--eval",
        str(pool.root / "eval"),
        "--out",
        str(tmp_path / "o"),
    ]
    assert main([*command, *words]) == status
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_other_evaluation_sets_do_not_go_into_the_same_folder(pool: Pool, tmp_path: Path):
    marked(pool, tmp_path / "out")
    (tmp_path / "eval").mkdir()
    table = pq.read_table(pool.root / "eval" / "ret_planted.parquet").slice(0, 3)
    pq.write_table(table, tmp_path / "eval" / "ret_planted.parquet")
    command = [
        "decontaminate",
        "--metadata",
        str(pool.root / "m"),
        "--eval",
        str(tmp_path / "eval"),
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(command) == 1


@pytest.mark.parametrize(
    ("images", "told"),
    [
        (pa.array([], pa.binary()), "holds no image that can be decoded"),
        (pa.array([b"no image", None], pa.binary()), "holds no image that can be decoded"),
        (pa.array(["text"]), "column jpg holds no bytes"),
    ],
    ids=["none", "broken", "text"],
)
def test_an_evaluation_set_without_images_is_named(pool: Pool, tmp_path: Path, images: pa.Array, told: str, capsys):
    (tmp_path / "eval").mkdir()
    pq.write_table(pa.table({"jpg": images}), tmp_path / "eval" / "cls_empty.parquet")
    inputs = ["--metadata", str(pool.root / "m"), "--eval", str(tmp_path / "eval")]
    assert main(["decontaminate", *inputs, "--out", str(tmp_path / "out")]) == 1
    assert told in capsys.readouterr().err


def test_crops_of_sets_without_images_are_refused(pool: Pool, tmp_path: Path, capsys):
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval" / "scored").symlink_to(pool.root / "m")
    inputs = ["--metadata", str(pool.root / "m"), "--eval", str(tmp_path / "eval")]
    assert main(["decontaminate", *inputs, "--out", str(tmp_path / "out"), "--crops"]) == 2
    assert "--crops: is for evaluation images" in capsys.readouterr().err


@pytest.mark.parametrize("layout", ["webdataset", "image_folder"])
def test_sets_in_folders_are_compared_with_like_parquet_files(pool, tmp_path, layout):
    images = pq.read_table(pool.root / "eval" / "ret_planted.parquet")["jpg"].to_pylist()
    inner = tmp_path / "eval" / "wds_planted" / ("test" if layout == "webdataset" else "a_class")
    inner.mkdir(parents=True)
    if layout == "webdataset":
        with tarfile.open(inner / "0.tar", "w") as tar:
            for number, image in enumerate(images):
                header = tarfile.TarInfo(f"s{number:07d}.jpg")
                header.size = len(image)
                tar.addfile(header, io.BytesIO(image))
    else:
        for number, image in enumerate(images):
            (inner / f"{number:03d}.jpg").write_bytes(image)
    expected = marked(pool, tmp_path / "of_parquet")
    found = marked(pool._replace(root=with_sets(pool, tmp_path)), tmp_path / "of_folder")
    assert {row["eval_set"] for row in found.values() if row["eval_set"]} == {"planted"}
    assert {uid: row["eval_item"] for uid, row in found.items()} == {uid: row["eval_item"] for uid, row in expected.items()}


def with_sets(pool: Pool, root: Path) -> Path:
    """A root with the pool's metadata and the sets that are in it already."""
    (root / "m").symlink_to(pool.root / "m")
    return root
