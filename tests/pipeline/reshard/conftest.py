"""Shards made by hand, and what stands in tars."""

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline.download.layout import write_tar
from pipeline.manifest import Manifest
from pipeline.reshard import ReshardConfig, run
from schemas.subsets import uids_to_array

Member = tuple[str, bytes]


def uid(number: int) -> str:
    """A uid that tells its number in both halves."""
    return f"{number * 7919 % 1000:016x}{number:016x}"


def sample(number: int, **told: Any) -> list[Member]:
    """The members of a sample: image, json, txt."""
    key = f"{number:09d}"
    return [
        (f"{key}.jpg", f"image {number} ".encode() * (number % 300 + 1)),
        (f"{key}.json", json.dumps({"uid": uid(number), "key": key, **told}).encode()),
        (f"{key}.txt", f"caption {number}".encode()),
    ]


class Shards:
    """A folder of input shards, a subset and what reshard makes of them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "in"
        self.out = root / "out"
        self.subset = root / "subset.npy"
        self.folder.mkdir()

    def tar(self, name: str, members: Sequence[Member]) -> Path:
        """Write a tar of these members."""
        with (self.folder / name).open("wb") as file:
            write_tar(file, members)
        return self.folder / name

    def fill(self, *, shards: int = 3, samples: int = 20, sidecars: bool = False) -> None:
        """Shards 00000.tar … of samples numbered on."""
        for shard in range(shards):
            numbers = range(shard * samples, (shard + 1) * samples)
            self.tar(f"{shard:05d}.tar", [member for number in numbers for member in sample(number)])
            if sidecars:
                keys = pa.array([f"{number:09d}" for number in numbers])
                widths = pa.array([100 + number for number in numbers], pa.int32())
                pq.write_table(pa.table({"key": keys, "width": widths}), self.folder / f"{shard:05d}.parquet")

    def choose(self, numbers: Sequence[int]) -> None:
        """The subset of these samples, one that comes twice weighing twice."""
        np.save(self.subset, uids_to_array([uid(number) for number in numbers]))

    def config(self, **settings: Any) -> ReshardConfig:
        """The config of a run."""
        places = {"input_dir": str(self.folder), "output_dir": str(self.out), "subset_file": str(self.subset)}
        return ReshardConfig(**{**places, "shard_size": 10, **settings})

    def run(self, **settings: Any) -> Manifest:
        """Run reshard."""
        return run(self.config(**settings))

    def written(self, out: Path | None = None) -> dict[str, bytes]:
        """The visible files of the output folder but meta.json, which tells the command line."""
        folder = out or self.out
        files = (path for path in folder.iterdir() if path.is_file() and not path.name.startswith("_"))
        return {path.name: path.read_bytes() for path in files if path.name != "meta.json"}

    def members(self, name: str = "00000000.tar") -> list[Member]:
        """Names and contents in an output tar."""
        return members_in(self.out / name)

    def keys(self) -> list[str]:
        """The keys of all output samples in order."""
        tars = sorted(self.out.glob("*.tar"))
        return list(dict.fromkeys(name.split(".")[0] for tar in tars for name, _ in members_in(tar)))


def members_in(path: Path) -> list[Member]:
    with tarfile.open(path) as archive:
        return [(header.name, archive.extractfile(header).read()) for header in archive]  # type: ignore[union-attr]


@pytest.fixture
def shards(tmp_path: Path) -> Shards:
    return Shards(tmp_path)


@pytest.fixture
def make() -> "type[Made]":
    """What samples are made of."""
    return Made


class Made:
    """Functions that make samples."""

    uid = staticmethod(uid)
    sample = staticmethod(sample)
    members_in = staticmethod(members_in)
    shards = Shards

    @staticmethod
    def picture(form: str = "PNG", *, side: int = 64) -> bytes:
        """An encoded image of noise."""
        target = io.BytesIO()
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (side, side, 3), dtype=np.uint8)).save(target, form)
        return target.getvalue()
