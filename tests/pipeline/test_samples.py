"""A shard's samples as every stage takes them: one notion of uid, caption, image and of what is dropped."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline.samples import Dropped, Pair, Sample, pair_of, read_sidecar
from pipeline.score import ScoreConfig
from pipeline.score.work import score_shard
from pipeline.stage import Part, part_folder
from pipeline.train.decoded.decode import DecodeConfig, decode_shard

UID = "ab" * 16


def picture() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (40, 32), (200, 30, 30)).save(out, "PNG")
    return out.getvalue()


PNG = picture()


def sample(**members: object) -> Sample:
    told = {"png": PNG, "txt": b"a fox", "json": {"uid": UID}, **members}
    return Sample("k", {n: json.dumps(m).encode() if isinstance(m, dict) else m for n, m in told.items() if m != "absent"})


def test_a_whole_sample_is_a_pair():
    assert pair_of(sample(), {}) == Pair(key="k", uid=UID, caption="a fox", image=PNG, told={"uid": UID})


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"png": "absent"}, "no_image"),
        ({"png": None}, "too_large_image"),
        ({"txt": "absent"}, "no_caption"),
        ({"txt": "absent", "json": {"uid": UID, "caption": 3}}, "no_caption"),
        ({"json": {}}, "no_uid"),
        ({"json": {"url": ""}}, "no_uid"),
        ({"json": {"uid": "xy"}}, "no_uid"),
    ],
)
def test_what_lacks_a_part_is_dropped_by_a_named_reason(members: dict, reason: str):
    assert pair_of(sample(**members), {}) == Dropped("k", reason)


def test_a_pair_without_a_uid_gets_that_of_its_caption_and_url():
    url = "http://a.example/é.jpg"
    pair = pair_of(sample(json={"url": url, "uid": None}, txt="naïve".encode()), {})
    assert pair.uid == hashlib.md5(f"naïve{url}".encode()).hexdigest()
    assert (
        pair_of(sample(json={"caption": "a fox"}, txt="absent"), {"url": url}).uid
        == hashlib.md5(f"a fox{url}".encode()).hexdigest()
    )


def test_null_in_the_json_leaves_what_the_sidecar_says():
    pair = pair_of(sample(txt="absent", json={"uid": None, "caption": None}), {"uid": UID, "caption": "beside"})
    assert (pair.uid, pair.caption) == (UID, "beside")


def test_an_empty_caption_is_a_caption():
    assert pair_of(sample(txt=b""), {"caption": "beside"}).caption == ""


def test_the_first_known_kind_of_image_that_was_read_is_taken():
    assert pair_of(sample(jpg=b"j", webp=b"w"), {}).image == b"j"
    assert pair_of(sample(jpg=None), {}).image == PNG


def test_a_sidecar_gives_the_columns_asked_for_that_it_has(tmp_path: Path):
    pq.write_table(pa.table({"key": ["1", None], "uid": ["u", "v"], "lang": ["en", "de"]}), tmp_path / "a.parquet")
    assert read_sidecar(str(tmp_path / "a.tar"), ["uid", "caption"]) == {"1": {"key": "1", "uid": "u"}}
    assert read_sidecar(str(tmp_path / "b.tar"), ["uid"]) == {}


def test_score_and_train_take_the_same_samples_and_name_the_same_drops(tmp_path: Path):
    import torch

    from pipeline.clip import load_clip

    weights, tar = tmp_path / "demo.pt", tmp_path / "00000.tar"
    torch.save(load_clip("demo", None).model.state_dict(), weights)
    empty = {"txt": b"", "json": {"uid": f"{1:032x}"}}
    kinds = [{}, empty, {"json": {"uid": None}}, {"png": b"broken"}, {"png": "absent"}, {"json": {}}]
    with tarfile.open(tar, "w") as archive:
        for i, kind in enumerate(kinds):
            for suffix, content in sample(**kind).members.items():
                header = tarfile.TarInfo(f"{i}.{suffix}")
                header.size = len(content)
                archive.addfile(header, io.BytesIO(content))
    pq.write_table(pa.table({"key": ["2"], "uid": [f"{2:032x}"]}), tmp_path / "00000.parquet")
    part = Part(name="00000", inputs=(str(tar),))
    scoring = ScoreConfig(shards="s", out="o", model="demo", pretrained=str(weights), device="cpu")
    reports, out = [], tmp_path / "out"
    out.mkdir()
    for config, work in ((scoring, score_shard), (DecodeConfig(image_size_px=32), decode_shard)):
        with part_folder(str(out), part) as folder:
            reports.append(work(config, part, folder))
            folder.commit()
    assert reports[0].counts == reports[1].counts
    assert reports[0].counts == {
        "rows_in": 6,
        "rows_out": 3,
        "dropped_broken_image": 1,
        "dropped_no_image": 1,
        "dropped_no_uid": 1,
    }
    uids = [pq.read_table(out / name)["uid"].to_pylist() for name in ("00000.parquet", "00000.rows")]
    assert uids[0] == uids[1] == [UID, f"{1:032x}", f"{2:032x}"]
