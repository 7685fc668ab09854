"""The sides of the filter benchmark: `webpairs filter` and DataComp's scripts on the same metadata, with the same options.

In: a workload and a folder of metadata. Out: what each run cost, and the digest of the subset that it wrote.
"""

import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.filter_cost import spent_on
from bench.filter_pool import rows_in
from bench.peer import environment
from bench.places import CACHE, REPOSITORY, digest_of

OURS, PEER = "ours", "DataComp"
WORKERS = 2
_ADDRESS, _COMMIT = "https://github.com/mlfoundations/datacomp", "4a8df1992566ef8334773f7152e1855b1f716162"
# Its pins are of 2022 and of another Python; these are the newest that its code works with. gcld3 no longer builds: cld3-py is
# the same library under the same name. fasttext's wheel needs NumPy 1, and later versions of pyarrow refuse that.
_PACKAGES = (
    *("torch==2.13.0", "numpy==1.26.4", "pandas==2.3.3", "pyarrow==20.0.0", "fsspec==2026.9.0", "tqdm==4.70.1"),
    *("nltk==3.8.1", "cld3-py==3.1.0", "fasttext-wheel==0.9.2"),
)
_LID, _WORDNET = "lid.176.bin", "nltk_wordnet.tar.gz"
_DATACOMPS_LID = "7e69ec5451bc"  # how the SHA-256 of the model begins that DataComp downloads


@dataclass(frozen=True)
class Assets:
    """The folder with the files that DataComp's filters download, under their names there, and WordNet in nltk's archive."""

    folder: Path

    @property
    def wordnet(self) -> Path:
        return self.folder / _WORDNET

    def said(self) -> str:
        """Whose they are, as the result tells it."""
        return "those that DataComp downloads" if digest_of(self.folder / _LID) == _DATACOMPS_LID else "stand-ins, smaller"

    def nltk_data(self) -> Path:
        """The archive unpacked, as nltk looks for it."""
        folder = CACHE / f"filter_nltk_{digest_of(self.wordnet)}"
        if not folder.is_dir():
            making = folder.with_suffix(".new")
            with tarfile.open(self.wordnet) as archive:
                archive.extractall(making, filter="data")
            making.rename(folder)
        return folder / "nltk_data"


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A filter: its options, which both sides take, and those that ours takes besides for its assets."""

    name: str
    options: Mapping[str, str]
    ours: Callable[[Assets], Sequence[str]] = lambda _: ()
    embedded: bool = False  # it reads the .npz, too
    once: bool = False  # DataComp's takes minutes, and no ratio of this size asks for a second run

    def common(self) -> list[str]:
        return [word for option, value in self.options.items() for word in (f"--{option}", value)]


def _lid(assets: Assets) -> Sequence[str]:
    return "--lid-model", str(assets.folder / _LID)


def _from_folder(assets: Assets) -> Sequence[str]:
    return *_lid(assets), "--assets", str(assets.folder)


_TOP = {"name": "clip_score", "arch": "l14", "fraction": "0.3"}
WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload(name="clip_score", options=_TOP),
        Workload(name="clip_threshold", options={"name": "clip_score", "arch": "l14", "threshold": "0.23"}),
        Workload(name="basic", options={"name": "basic_filter"}, ours=_lid),
        Workload(name="text_based", options={"name": "text_based"}, ours=_from_folder, once=True),
        Workload(name="laion2b", options={"name": "laion2b"}),
        Workload(
            name="image_based", options={"name": "image_based", "image_based_scale": "small"}, ours=_from_folder, embedded=True
        ),
    )
}


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where runs happen: a folder for what they write, and the cores they may use."""

    scratch: Path
    cores: Collection[int]


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A side: its name; its command for (workload, metadata, subset); what its environment has besides."""

    name: str
    command: Callable[[Workload, Path, Path], list[str]]
    env: Mapping[str, str] = field(default_factory=dict)


def webpairs(assets: Assets) -> Contender:
    """`webpairs filter`."""

    def command(workload: Workload, metadata: Path, subset: Path) -> list[str]:
        start = [sys.executable, "-m", "pipeline.cli", "filter", *workload.common(), *workload.ours(assets)]
        return [*start, "--metadata_dir", str(metadata), "--save_path", str(subset), "--num_workers", str(WORKERS)]

    return Contender(name=OURS, command=command)


def datacomp(assets: Assets, checkout: Path | None) -> Contender:
    """DataComp's scripts, of a checkout or cloned from GitHub, in an environment of their own."""
    python = python_of_datacomp()

    def command(workload: Workload, metadata: Path, subset: Path) -> list[str]:
        start = [str(python), "-m", "bench.filter_peer", *workload.common()]
        return [*start, "--metadata_dir", str(metadata), "--save_path", str(subset), "--num_workers", str(WORKERS)]

    env = {
        "PYTHONPATH": str(checkout or cloned()),
        "BENCH_FILTER_ASSETS": str(assets.folder),
        "NLTK_DATA": str(assets.nltk_data()),
        "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1",  # its centroids are a NumPy array, which torch 2.6 and later refuse
    }
    return Contender(name=PEER, command=command, env=env)


def python_of_datacomp() -> Path:
    """The Python of its environment."""
    return environment("datacomp", packages=_PACKAGES)


def cloned() -> Path:
    """DataComp's repository at the commit that is measured."""
    folder = CACHE / "peers" / "datacomp"
    if not folder.is_dir():
        print(f"cloning {_ADDRESS}", flush=True)
        making = folder.with_suffix(".new")
        shutil.rmtree(making, ignore_errors=True)
        subprocess.run(["git", "clone", "--quiet", _ADDRESS, str(making)], check=True)
        subprocess.run(["git", "-C", str(making), "checkout", "--quiet", _COMMIT], check=True)
        making.rename(folder)
    head = subprocess.run(["git", "-C", str(folder), "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    if head.stdout.strip() != _COMMIT:
        raise SystemExit(f"{folder}: at commit {head.stdout.strip()}, not {_COMMIT}; remove it, and it is cloned again")
    return folder


def once(side: Contender, workload: Workload, metadata: Path, place: Place) -> dict[str, Any]:
    """One run: what it cost, rows of the metadata and of the subset, and the subset's digest."""
    subset = place.scratch / f"{side.name}_{workload.name}.npy"
    subset.unlink(missing_ok=True)
    command, log = side.command(workload, metadata, subset), subset.with_suffix(".log")
    spent = spent_on(command, folder=REPOSITORY, log=log, env=side.env, cores=place.cores)
    kept = len(np.load(subset, mmap_mode="r"))
    return {**spent._asdict(), "rows": rows_in(metadata), "kept": kept, "digest": digest_of(subset)}


def rounds_of(
    sides: Sequence[Contender], workload: Workload, metadata: Path, place: Place, rounds: int
) -> dict[str, list[dict[str, Any]]]:
    """Answers by side, a run of each per round, in turn."""
    answers: dict[str, list[dict[str, Any]]] = {side.name: [] for side in sides}
    for number in range(rounds):
        for side in sides:
            answers[side.name].append(once(side, workload, metadata, place))
        said = ", ".join(f"{name} {runs[-1]['cpu_s']:.2f}" for name, runs in answers.items())
        print(f"  round {number + 1} of {rounds}, CPU s: {said}", flush=True)
    return answers
