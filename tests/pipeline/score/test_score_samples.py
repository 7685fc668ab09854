"""Reading shards that come from anywhere: grouping, damage, hostile names and values."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline import samples
from pipeline.samples import TarReader, parse_json, split_name, uid_of
from pipeline.score.decoding.phash import phash
from pipeline.score.rows import schema_with, told_columns
from schemas.scores import SCORES, clip_column


def read(content: bytes) -> tuple[list[tuple[str, dict]], str]:
    reader = TarReader(io.BytesIO(content))
    return [(sample.key, sample.members) for sample in reader], reader.damage


@pytest.mark.parametrize(
    ("name", "key", "suffix"),
    [
        ("000000001.jpg", "000000001", "jpg"),
        ("a/b.c/01.SEG.PNG", "a/b.c/01", "seg.png"),
        ("../../etc/passwd", "../../etc/passwd", ""),
        ("caf\udce9.txt", "caf\\xe9", "txt"),
        (".hidden", "", "hidden"),
    ],
)
def test_a_name_is_parted_at_the_first_dot_of_its_base(name: str, key: str, suffix: str):
    assert split_name(name) == (key, suffix)


def test_members_are_grouped_by_key_in_the_tars_order(tmp_path: Path, write_tar):
    tar = write_tar(tmp_path / "a.tar", [("2.jpg", b"x"), ("2.txt", b"y"), ("1.txt", b"z")])
    assert read(tar.read_bytes()) == ([("2", {"jpg": b"x", "txt": b"y"}), ("1", {"txt": b"z"})], "")


def test_a_tar_cut_anywhere_says_so_and_gives_whole_members_only(tmp_path: Path, write_tar):
    whole = write_tar(tmp_path / "a.tar", [(f"{i}.jpg", bytes([i]) * 700) for i in range(3)]).read_bytes()
    for cut in range(0, 3 * 1536, 256):
        found, damage = read(whole[:cut])
        assert damage
        assert found == [(str(i), {"jpg": bytes([i]) * 700}) for i in range(len(found))]
        assert len(found) >= cut // 1536
    assert read(whole)[1] == ""


@given(st.binary(max_size=2000))
def test_any_bytes_are_read_without_an_exception(content: bytes):
    found, damage = read(content)
    assert damage or not found


def test_a_member_over_the_limit_is_not_held_in_memory(tmp_path: Path, write_tar, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(samples, "MEMBER_LIMIT_BYTES", 100)
    tar = write_tar(tmp_path / "a.tar", [("1.jpg", b"x" * 101), ("2.jpg", b"x" * 100)])
    assert read(tar.read_bytes())[0] == [("1", {"jpg": None}), ("2", {"jpg": b"x" * 100})]


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=8)


@settings(deadline=None)  # the first call loads Arrow's compute kernels
@given(st.lists(st.dictionaries(st.sampled_from(["uid", "url", *SCORES.names]), JSON), max_size=4))
def test_any_json_values_fit_the_columns_or_become_null_whatever_stands_beside_them(told: list[dict]):
    columns = told_columns(told)
    for field in SCORES:
        if field.name in columns:
            assert columns[field.name].type == field.type
            alone = [told_columns([each])[field.name][0].as_py() for each in told]
            assert columns[field.name].equals(pa.array(alone, field.type))
    pq.write_table(pa.table(columns), io.BytesIO())


@given(st.binary())
def test_any_bytes_are_an_object_or_nothing(content: bytes):
    assert isinstance(parse_json(content), dict)


def test_deeply_nested_json_is_nothing():
    assert parse_json(b"[" * 100_000) == {}
    assert parse_json(None) == {}


def test_a_lone_surrogate_in_json_does_not_reach_the_table():
    told = json.loads('{"url": "http://a.example/\\ud800"}')
    assert told_columns([told])["url"].to_pylist() == ["http://a.example/?"]


def test_a_uid_is_32_hex_digits_in_lower_case():
    assert uid_of({"uid": "AB" * 16}) == "ab" * 16
    assert [uid_of({"uid": uid}) for uid in (None, 3, "", "ab" * 15, "xy" * 16, "ab" * 16 + "\n")] == [None] * 6


def test_our_columns_come_first_and_that_of_another_model_last():
    assert schema_with([clip_column("b32")]) == SCORES
    found = schema_with([*SCORES, *(clip_column(name) for name in ("b32", "z", "demo"))])
    assert found.names == [*SCORES.names, "clip_demo_similarity_score", "clip_z_similarity_score"]


def test_a_perceptual_hash_withstands_rescaling_and_tells_images_apart():
    def image(seed: int) -> Image.Image:
        noise = np.random.default_rng(seed).integers(0, 255, (16, 16, 3), dtype=np.uint8)
        return Image.fromarray(noise).resize((256, 256), Image.Resampling.BICUBIC)

    def distance(a: Image.Image, b: Image.Image) -> int:
        return (int(phash(np.array(a)), 16) ^ int(phash(np.array(b)), 16)).bit_count()

    assert len(phash(np.array(image(1)))) == 16
    assert distance(image(1), image(1).resize((100, 100), Image.Resampling.BICUBIC)) <= 4
    assert distance(image(1), image(2)) >= 16
