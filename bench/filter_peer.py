"""DataComp's filter scripts in their own environment: `python -m bench.filter_peer OPTIONS`, the options of their baselines.py.

Their `apply_filter(args)` runs as it is. What surrounds it is replaced, since nothing may be fetched while it is measured: their
`download` by one that hands out the files of the folder BENCH_FILTER_ASSETS, without their SHA-256 (in their favour: each worker
computes it for each metadata file); nltk's by nothing; and, where there is no GPU, the function that asks one for the nearest
centroids by the same product on the CPU. Their checkout is on PYTHONPATH. Workers import this module again, as they do theirs.
"""

import argparse
import os
from pathlib import Path
from typing import Any

import nltk
import torch
from baselines import utils

_NAMES = {"fasttext": "lid.176.bin"}


def asset(name: str, root: str | None = None) -> str:
    """The path of one of their assets."""
    del root
    return str(Path(os.environ["BENCH_FILTER_ASSETS"], _NAMES.get(name, f"{name}.pt")))


utils.download = asset  # before their filters take it from there by name
nltk.download = lambda *_, **__: True

# isort: split
from baselines import apply_filter as theirs  # noqa: E402


@torch.no_grad()
def nearest_on_cpu(features: Any, centroids: Any, batch_size: int, device: int) -> Any:
    """(n,) int64, the nearest of k centroids (k, d) float32 by dot product, of features (n, d)."""
    del device
    batches = torch.as_tensor(features).split(batch_size)
    found = [torch.einsum("ik, jk -> ij", batch.float(), centroids).argmax(dim=1) for batch in batches]
    return torch.cat(found) if found else torch.zeros(0, dtype=torch.long)


if not torch.cuda.is_available():
    theirs.get_centroid_ids_gpu = nearest_on_cpu


def main() -> None:
    """Run one of their filters. Options that a filter does not take are None, as in their parser."""
    parser = argparse.ArgumentParser(prog="python -m bench.filter_peer", description=__doc__, allow_abbrev=False)
    for option in ("--name", "--metadata_dir", "--save_path", "--arch", "--image_based_scale"):
        parser.add_argument(option)
    for option in ("--threshold", "--fraction"):
        parser.add_argument(option, type=float)
    parser.add_argument("--num_workers", type=int, default=os.cpu_count())
    parser.add_argument("--num_gpus", type=int, default=1)
    parser.add_argument("--batch_size", type=int, default=1024)
    theirs.apply_filter(parser.parse_args())


if __name__ == "__main__":
    main()
