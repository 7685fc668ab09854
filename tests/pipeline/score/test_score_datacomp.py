"""What score writes is what DataComp publishes: columns, arrays, their types, and how its own scripts read them."""

import copy
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.score import ScoreConfig, run

WIDTHS = {"b32": 512, "l14": 768}


@pytest.fixture(scope="module")
def scores(shared_data: Path, tiny_config: dict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """DataComp's own shards, scored by two models at once under the names of its models, with embeddings as wide as theirs."""
    import torch

    from pipeline.clip import load_clip, open_clip

    folder = tmp_path_factory.mktemp("datacomp")
    plan = []
    for name, width in WIDTHS.items():
        path = folder / f"datacomp-{name}.json"
        path.write_text(json.dumps({**copy.deepcopy(tiny_config), "embed_dim": width}))
        open_clip.add_model_config(path)
        torch.save(load_clip(f"datacomp-{name}", None).model.state_dict(), folder / f"{name}.pt")
        plan.append(f'[[model]]\nname = "datacomp-{name}"\npretrained = "{folder / name}.pt"\ncolumn = "{name}"\n')
    (folder / "plan.toml").write_text("\n".join(plan))
    shards = shared_data / "datacomp" / "shards"
    run(ScoreConfig(shards=str(shards), out=str(folder / "scores"), plan_file=str(folder / "plan.toml"), device="cpu"))
    return folder / "scores"


def kind(type_: pa.DataType) -> str:
    if pa.types.is_list(type_):
        return f"list of {kind(type_.value_type)}"
    kinds = {"text": pa.types.is_string, "whole": pa.types.is_signed_integer, "number": pa.types.is_floating}
    return next((name for name, holds in kinds.items() if holds(type_)), str(type_))


def test_columns_are_datacomps_in_its_order_and_of_its_kinds(scores: Path, shared_data: Path):
    theirs = pq.read_schema(next((shared_data / "datacomp" / "metadata").glob("*.parquet")))
    for path in scores.glob("*.parquet"):
        ours = pq.read_schema(path)
        assert ours.names[: len(theirs)] == theirs.names
        assert [kind(field.type) for field in ours][: len(theirs)] == [kind(field.type) for field in theirs]


def test_arrays_have_datacomps_keys_widths_and_type(scores: Path, shared_data: Path):
    theirs = np.load(next((shared_data / "datacomp" / "metadata").glob("*.npz")))["l14_img"]
    for path in scores.glob("*.npz"):
        with np.load(path) as file:
            arrays = dict(file.items())
        rows = pq.read_metadata(path.with_suffix(".parquet")).num_rows
        assert sorted(arrays) == ["b32_img", "b32_txt", "l14_img", "l14_txt"]
        assert {name: (array.dtype, array.shape) for name, array in arrays.items()} == {
            f"{name}_{side}": (theirs.dtype, (rows, width)) for name, width in WIDTHS.items() for side in ("img", "txt")
        }
        assert arrays["l14_img"].shape[1] == theirs.shape[1]


def test_datacomps_scripts_can_read_them(scores: Path):
    """As its baselines do: columns by pandas, uids as two 64-bit halves, embeddings by the parquet's name."""
    for path in scores.glob("*.parquet"):
        frame = pd.read_parquet(path, columns=["uid", "text", "clip_l14_similarity_score"])
        uids = np.array([(int(uid[:16], 16), int(uid[16:32], 16)) for uid in frame["uid"]], np.dtype("u8,u8"))
        kept = uids[frame["clip_l14_similarity_score"] >= np.quantile(frame["clip_l14_similarity_score"], 0.7)]
        embeddings = np.load(f"{path.parent / path.stem}.npz")["l14_img"]
        assert 0 < len(kept) < len(frame) == len(embeddings)
        cosines = (embeddings.astype(np.float32) * np.load(path.with_suffix(".npz"))["l14_txt"].astype(np.float32)).sum(axis=1)
        assert np.abs(cosines - frame["clip_l14_similarity_score"]).max() < 2e-3
