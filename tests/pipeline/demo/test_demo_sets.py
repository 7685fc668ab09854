import hashlib
import io
import json
import tarfile

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline.demo.eval_sets import write_eval_sets
from pipeline.demo.generate import Sizes, generate
from pipeline.demo.scenes import COLOURS, SHAPES
from pipeline.demo.seed_set import write_seed_set
from schemas.errors import UserError
from schemas.shards import SHARDS
from schemas.subsets import array_to_uids


def test_the_seed_set_is_a_shard_as_download_writes_them(tmp_path):
    subset = write_seed_set(str(tmp_path), pairs=12, seed=0)
    rows = pq.read_table(tmp_path / "shards/00000.parquet")
    assert all(field.equals(SHARDS.field(field.name)) for field in rows.schema)
    with tarfile.open(tmp_path / "shards/00000.tar") as tar:
        assert len(tar.getnames()) == 36
        for row in rows.to_pylist():
            jpg, text, facts = (tar.extractfile(f"{row['key']}.{kind}").read() for kind in ("jpg", "txt", "json"))
            assert Image.open(io.BytesIO(jpg)).size == (row["width"], row["height"])
            assert row["sha256"] == hashlib.sha256(jpg).hexdigest()
            assert text.decode() == row["caption"]
            assert json.loads(facts)["uid"] == row["uid"] == hashlib.md5((row["caption"] + row["url"]).encode()).hexdigest()
    assert array_to_uids(np.load(subset)) == sorted(rows["uid"].to_pylist())
    assert json.loads((tmp_path / "shards/00000_stats.json").read_bytes())["successes"] == 12


def test_the_seed_set_is_the_same_each_time_but_for_the_clock(tmp_path):
    for name in ("a", "b"):
        write_seed_set(f"{tmp_path}/{name}", pairs=5, seed=1)
    for file in ("seed.npy", "shards/00000.tar", "shards/00000.parquet"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_evaluation_sets_name_their_classes_and_prompts(tmp_path):
    write_eval_sets(str(tmp_path), items=40, seed=0)
    for name, classes in (("cls_objects", SHAPES), ("cls_colours", COLOURS)):
        table = pq.read_table(tmp_path / f"{name}.parquet")
        assert table.schema.names == ["text", "label", "wnid", "jpg"]
        assert json.loads((tmp_path / f"{name}.classes.json").read_text()) == [["", word] for word in classes]
        assert all(prompt.count("{}") == 1 for prompt in json.loads((tmp_path / f"{name}.templates.json").read_text()))
        for row in table.to_pylist():
            assert Image.open(io.BytesIO(row["jpg"])).size == (96, 96)
            if name == "cls_colours":
                assert classes[row["label"]] in row["text"].lower()


def test_retrieval_captions_are_unique(tmp_path):
    write_eval_sets(str(tmp_path), items=60, seed=0)
    table = pq.read_table(tmp_path / "ret_scenes.parquet")
    assert len(set(table["text"].to_pylist())) == len(set(table["jpg"].to_pylist())) == 60


def test_all_is_generated_once_and_other_sizes_are_refused(tmp_path):
    sizes = Sizes(pairs=30, wats=1, seed_pairs=4, eval_items=4)
    places = generate(str(tmp_path), sizes, workers=1)
    first = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert generate(str(tmp_path), sizes, workers=1) == places
    assert first == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match="pairs 30 there, 40 now"):
        generate(str(tmp_path), Sizes(pairs=40, wats=1, seed_pairs=4, eval_items=4), workers=1)
