"""What the cluster's run starts from: a generated web with its WATs, and a scoring model trained on its clean seed set.

In: a folder and a number of pairs. Out: the web, and a folder laid out as bench.cluster_flow reads it; it
goes to the store, too.
"""

import shutil
from pathlib import Path

from bench.cluster_flow import CHECKPOINT, WATS
from pipeline import io
from pipeline.demo.generate import Generated, Sizes, generate
from pipeline.train import TrainConfig
from pipeline.train import run as train
from pipeline.train.reference import run_folder

_WATS = 8  # parts enough for two machines to divide
_SEED_PAIRS, _SAMPLES_SEEN, _EVAL_ITEMS = 200, 1280, 20


def make_inputs(folder: Path, pairs: int) -> tuple[Generated, Path]:
    """Generate and train; the web, and the folder of inputs."""
    web = generate(str(folder / "web"), Sizes(pairs=pairs, wats=_WATS, seed_pairs=_SEED_PAIRS, eval_items=_EVAL_ITEMS))
    inputs = folder / "inputs"
    shutil.copytree(web.wat, inputs / WATS, ignore=lambda _, names: [name for name in names if not name.endswith(".gz")])
    models = str(folder / "model")
    settings = TrainConfig(shards=web.seed_shards, subset=web.seed_subset, scale="demo", out=models, samples_seen=_SAMPLES_SEEN)
    train(settings)
    shutil.copyfile(io.list_files(run_folder(settings), ".pt")[-1], inputs / CHECKPOINT)
    return web, inputs


def upload(inputs: Path, url: str) -> int:
    """Put a folder's files below a URL; the bytes."""
    fs, name = io.url_to_fs(url)
    fs.makedirs(name.split("/")[0], exist_ok=True)
    files = [path for path in sorted(inputs.rglob("*")) if path.is_file()]
    for path in files:
        fs.put_file(str(path), f"{name}/{path.relative_to(inputs).as_posix()}")
    return sum(path.stat().st_size for path in files)
