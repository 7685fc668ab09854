"""Everything that the demo starts from, written to one folder: the web and its WAT, the truth, the seed set, evaluation sets."""

import json
import os
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from typing import Any

from pipeline import io
from pipeline.demo.eval_sets import write_eval_sets
from pipeline.demo.seed_set import SUBSET_NAME, write_seed_set
from pipeline.demo.site import write_site
from pipeline.demo.truth import write_truth
from pipeline.demo.wat import write_wats
from pipeline.demo.web import plan_web
from pipeline.workers import worker_processes
from schemas.errors import UserError

_DONE = "_generated.json"


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much to generate: image links, WAT files, seed pairs, pictures per evaluation set; and the seed of it all."""

    pairs: int = 6000
    wats: int = 4
    seed_pairs: int = 2000
    eval_items: int = 800
    seed: int = 0


@dataclass(frozen=True)
class Generated:
    """Where things lie in the folder."""

    folder: str

    @property
    def site(self) -> str:
        """For site.Site: what the server answers from."""
        return f"{self.folder}/site"

    @property
    def wat(self) -> str:
        """WAT files."""
        return f"{self.folder}/wat"

    @property
    def truth(self) -> str:
        """Parquet of truth.TRUTH."""
        return f"{self.folder}/truth.parquet"

    @property
    def seed_shards(self) -> str:
        """Shards of the seed set."""
        return f"{self.folder}/seed/shards"

    @property
    def seed_subset(self) -> str:
        """Uids of the seed set, .npy."""
        return f"{self.folder}/seed/{SUBSET_NAME}"

    @property
    def eval_sets(self) -> str:
        """Folder of evaluation sets."""
        return f"{self.folder}/eval"


def generate(folder: str, sizes: Sizes, workers: int = 2) -> Generated:
    """Write it all to a local folder, in `workers` processes (about 150 MB by default). Done before with these sizes: skipped."""
    places, wanted = Generated(folder), asdict(sizes)
    done = f"{folder}/{_DONE}"
    if io.exists(done):
        found = json.loads(io.read_bytes(done))
        if found == wanted:
            return places
        changes = ", ".join(
            f"{name} {found.get(name)} there, {value} now" for name, value in wanted.items() if found.get(name) != value
        )
        raise UserError(f"{folder}: another demo stands there ({changes}); give another --root, or remove the folder")
    os.makedirs(folder, exist_ok=True)
    web = plan_web(sizes.pairs, sizes.seed)
    with worker_processes(workers) as pool:
        others: list[Future[Any]] = [
            pool.submit(write_seed_set, f"{folder}/seed", sizes.seed_pairs, sizes.seed),
            pool.submit(write_eval_sets, places.eval_sets, sizes.eval_items, sizes.seed),
        ]
        write_site(places.site, web, pool)
        write_wats(places.wat, web, sizes.wats)
        for other in others:
            other.result()
    write_truth(places.truth, web)
    with io.atomic_write(done) as file:
        file.write(json.dumps(wanted).encode())
    return places
