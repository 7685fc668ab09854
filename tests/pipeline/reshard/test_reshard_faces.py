"""Faces: blurred where the boxes are and nowhere else, or told in the json; never left as they are when they were to go."""

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline.reshard import ReshardConfig
from schemas.errors import UsageError, UserError

BOX = [0.25, 0.25, 0.5, 0.5]


def pixels_of(content):
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)


def fill(shards, make, *, boxes=None, form="PNG", suffix="png", in_json=True):
    """One sample with a picture, whose json has these boxes or none."""
    told = {"uid": make.uid(1), **({"face_bboxes": boxes} if in_json else {})}
    picture = make.picture(form)
    shards.tar("00000.tar", [(f"a.{suffix}", picture), ("a.json", json.dumps(told).encode()), ("a.txt", b"caption")])
    shards.choose([1, 1])
    return picture


def map_of(shards, make, boxes, *, folder=None):
    """A blur metadata map of the shard 00000.tar."""
    parquet = shards.root / "faces.parquet"
    column = pa.array([boxes, []], pa.list_(pa.list_(pa.float64())))
    pq.write_table(pa.table({"uid": [make.uid(1), make.uid(2)], "face_bboxes": column}), parquet)
    entry = {"shards": [f"{folder or shards.folder}/00000.tar"], "parquet": str(parquet)}
    (shards.root / "map.json").write_text(json.dumps({"0": entry}))
    return str(shards.root / "map.json")


def test_only_what_is_about_the_box_is_blurred(shards, make):
    picture = fill(shards, make, boxes=[BOX])
    counts = shards.run(apply_blur=True, blur_format="same").counts
    assert counts["blurred"] == 2
    members = dict(shards.members())
    assert list(members) == [f"{make.uid(1)}-{copy}.{suffix}" for copy in (0, 1) for suffix in ("json", "png", "txt")]
    before, after = pixels_of(picture), pixels_of(members[f"{make.uid(1)}-0.png"])
    inside = (slice(16, 32), slice(16, 32))
    assert after[inside].std() < before[inside].std() / 2
    changed = np.argwhere((before != after).any(axis=2))
    # 64 px: the box is 16 to 32, a tenth of its side larger at each side, and the mask is soft over half a kernel, 2 px.
    assert changed.min() >= 16 - 1 - 3
    assert changed.max() <= 32 + 1 + 3


@pytest.mark.parametrize(
    ("stored", "blur_format", "expected"),
    [
        ("JPEG jpg", "webp", "webp"),
        ("JPEG jpeg", "same", "jpeg"),
        ("PNG png", "same", "png"),
        ("GIF gif", "same", "webp"),
    ],
)
def test_blurred_images_are_stored_as_is_wished(shards, make, stored, blur_format, expected):
    form, suffix = stored.split()
    fill(shards, make, boxes=[BOX], form=form, suffix=suffix)
    shards.run(apply_blur=True, blur_format=blur_format)
    members = {name.split(".")[1]: content for name, content in shards.members()}
    assert set(members) == {"json", "txt", expected}
    assert Image.open(io.BytesIO(members[expected])).format == {"jpeg": "JPEG"}.get(expected, expected.upper())


def test_quality_is_that_of_webp(shards, make):
    fill(shards, make, boxes=[BOX])
    shards.run(apply_blur=True)
    high = dict(shards.members())[f"{make.uid(1)}-0.webp"]
    shards.run(apply_blur=True, reencode_webp_quality=30, overwrite=True)
    assert len(dict(shards.members())[f"{make.uid(1)}-0.webp"]) < len(high) / 2


@pytest.mark.parametrize("boxes", [[], None])
def test_images_without_faces_keep_their_bytes(shards, make, boxes):
    picture = fill(shards, make, boxes=boxes)
    assert "blurred" not in shards.run(apply_blur=True).counts
    assert dict(shards.members())[f"{make.uid(1)}-0.png"] == picture


@pytest.mark.parametrize(
    "boxes",
    ["everywhere", [[0, 0, 1]], [["a", 0, 1, 1]], [[0, 0, 1, None]], 7, {"a": 1}, [[10**400, 0, 1, 1]], [[float("nan")] * 4]],
)
def test_a_sample_whose_boxes_make_no_sense_is_not_written(shards, make, boxes):
    fill(shards, make, boxes=boxes)
    counts = shards.run(apply_blur=True).counts
    assert (counts["rows_out"], counts["bad_boxes"]) == (0, 2)
    assert shards.members() == []
    assert json.loads((shards.out / "00000000_stats.json").read_bytes()) == {"successes": 0}


def test_a_sample_whose_image_cannot_be_blurred_is_not_written(shards, make):
    shards.tar("00000.tar", [*make.sample(1, face_bboxes=[BOX]), *make.sample(2)])
    shards.choose([1, 2])
    counts = shards.run(apply_blur=True).counts
    assert (counts["rows_out"], counts["not_blurred"]) == (1, 1)
    assert shards.keys() == [f"{make.uid(2)}-0"]


def test_boxes_of_the_map_are_blurred_and_injected(shards, make):
    fill(shards, make, in_json=False)
    path = map_of(shards, make, [BOX])
    counts = shards.run(apply_blur=True, inject_blur_metadata=True, blur_metadata_map=path).counts
    assert counts["blurred"] == 2
    members = dict(shards.members())
    assert json.loads(members[f"{make.uid(1)}-1.json"]) == {"uid": make.uid(1), "face_bboxes": [BOX]}
    assert f"{make.uid(1)}-1.webp" in members


def test_injecting_alone_leaves_the_image_as_it_is(shards, make):
    picture = fill(shards, make, in_json=False)
    shards.run(inject_blur_metadata=True, blur_metadata_map=map_of(shards, make, [BOX]))
    members = dict(shards.members())
    assert members[f"{make.uid(1)}-0.png"] == picture
    assert json.loads(members[f"{make.uid(1)}-0.json"])["face_bboxes"] == [BOX]


def test_the_map_counts_more_than_the_json_but_where_it_says_nothing(shards, make):
    picture = fill(shards, make, boxes=[BOX])
    shards.run(apply_blur=True, blur_metadata_map=map_of(shards, make, []))
    assert dict(shards.members())[f"{make.uid(1)}-0.png"] == picture
    shards.tar("00000.tar", [("a.png", picture), ("a.json", json.dumps({"uid": make.uid(5), "face_bboxes": [BOX]}).encode())])
    shards.choose([5])
    counts = shards.run(apply_blur=True, blur_metadata_map=map_of(shards, make, []), overwrite=True).counts
    assert (counts["not_in_blur_map"], counts["blurred"]) == (1, 1)


def test_shards_of_other_folders_in_the_map_are_not_meant(shards, make):
    picture = fill(shards, make, in_json=False)
    shards.run(apply_blur=True, blur_metadata_map=map_of(shards, make, [BOX], folder="s3://elsewhere"))
    assert dict(shards.members())[f"{make.uid(1)}-0.png"] == picture


@pytest.mark.parametrize("content", ["", "[]", '{"0": {"shards": 4}}', '{"0": 7}'])
def test_what_is_no_map_is_refused(shards, make, content):
    fill(shards, make)
    (shards.root / "map.json").write_text(content)
    with pytest.raises(UserError, match=r"map\.json: not a map"):
        shards.run(apply_blur=True, blur_metadata_map=str(shards.root / "map.json"))


def test_a_parquet_of_the_map_that_cannot_be_read_fails_its_shards(shards, make):
    fill(shards, make)
    path = map_of(shards, make, [BOX])
    (shards.root / "faces.parquet").write_bytes(b"nothing")
    manifest = shards.run(apply_blur=True, blur_metadata_map=path)
    assert "faces.parquet" in manifest.failed_inputs[0].error
    assert not list(shards.out.glob("*.tar"))


def test_injecting_without_a_map_is_wrong_usage():
    with pytest.raises(UsageError, match="--blur-metadata-map"):
        ReshardConfig(input_dir="a", output_dir="b", subset_file="c", inject_blur_metadata=True)


def test_a_box_of_the_map_that_makes_no_sense_costs_its_sample_only(shards, make):
    fill(shards, make, in_json=False)
    shards.tar("00001.tar", make.sample(5))
    shards.choose([1, 5])
    counts = shards.run(inject_blur_metadata=True, blur_metadata_map=map_of(shards, make, [None])).counts
    assert (counts["bad_boxes"], counts["rows_out"]) == (1, 1)


def test_an_image_of_a_kind_that_is_not_known_is_not_written_with_its_faces(shards, make):
    fill(shards, make, boxes=[BOX], suffix="avif")
    counts = shards.run(apply_blur=True).counts
    assert (counts["not_blurred"], counts["rows_out"]) == (2, 0)
