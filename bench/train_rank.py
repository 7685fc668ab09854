"""Six filters × two seeds, by both sides: what it takes until all twelve reference models stand.

In: a pool and samples per run. Out: seconds on the clock and CPU seconds of each side's whole work, start-up included.
"""

import json
import shutil
import sys
from typing import Any

from bench.places import REPOSITORY
from bench.train_shards import SHARES, Pool
from bench.train_sides import Place
from bench.tree import cost_of

SEEDS = (0, 1)


def twelve(side: str, pool: Pool, samples: int, place: Place, *, filters: int = len(SHARES)) -> dict[str, Any]:
    """What the runs of a side cost. Where not all `filters` are run, the costs of those that are count for the others, too."""
    out = place.scratch / f"rank_{side}"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    asked = {
        "shards": str(pool.folder),
        "subsets": [str(pool.subset(name)) for name in list(SHARES)[:filters]],
        "seeds": SEEDS,
        "samples_seen": samples,
        "out": str(out),
        "eval_sets": str(pool.eval_sets()),
        "workers": len(place.cores),
    }
    path = out.with_suffix(".json")
    path.write_text(json.dumps(asked))
    command = [sys.executable, "-m", "bench.train_runs", side, str(path)]
    cost = cost_of(command, folder=REPOSITORY, log=out.with_suffix(".log"), cores=place.cores)
    times, runs = len(SHARES) / filters, len(SHARES) * len(SEEDS)
    found = {"wall_s": cost.wall_s * times, "cpu_s": cost.total_s * times, "runs": runs, "measured": filters * len(SEEDS)}
    print(
        f"  {side}: {found['measured']} of {runs} runs measured, {found['wall_s']:.1f} s, CPU {found['cpu_s']:.1f} s", flush=True
    )
    return found
