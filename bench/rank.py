"""Which filter is better, on real pairs with web-like noise in known shares: score, filter, train, evaluate, rank.

Takes the real pairs, trains a scoring model on a clean part of them, makes a noisy pool of the rest, and sends it through every
stage as the command line runs it. Ends with the ranking, each filter's precision and recall, and one JSON line, which is
written to bench/results/rank.json where the defaults or --full were measured. What stands in --work is not done again.
"""

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bench.measure import table
from bench.places import CACHE, RESULTS, shared
from bench.rank_figures import against_truth, block_of, figures_of, plot, ranked, shares_of
from bench.rank_noise import SHARES, real_pairs_for, with_noise
from bench.rank_shards import read_pairs, texts_in_other_languages, write_shards, write_truth, write_uids
from bench.rank_stages import ORACLE, Folder, Stages, Training, cores, filter_pool, score_and_mark, train_and_rank
from bench.result import finish, result, versions

_LIBRARIES = ("torch", "open_clip_torch", "numpy", "pyarrow", "faiss-cpu", "scipy")
_CLEAN_ROWS = 10_000  # the first of the 37,932 real pairs: the scoring model's
_ROWS = 29_715  # of the pool: all others, and copies of some
# Not Vietnamese: the filters look for English, and so does the oracle.
_EVAL_SETS = ("cls_tinyimagenet200", "cls_ret_fashion", "cls_cifar10", "ret_openstax_photo", "ret_cc3m")
_NOTE = (
    "oracle is no filter but the pairs that were left as they are, the ceiling; the scoring model of clip_score and webpairs was "
    "trained on clean pairs of the same sources, none of which is in the pool or in an evaluation set"
)


# A small CLIP on ten thousand pairs is at its best after some nine epochs; after eighteen it knows them by heart.
_SCORING = ("demo", 81_920)


def reduced() -> Training:
    """What four cores do in a quarter of an hour."""
    return Training(
        samples_seen={"demo": 25_600}, checkpoints=(0.5, 1.0), seeds=5, workers=cores(), device="cpu", scoring=_SCORING
    )


def full() -> Training:
    """What a GPU does in 25 minutes: two sizes of model."""
    samples, workers = {"demo": 122_880, "micro": 245_760}, min(6, cores())
    return Training(samples_seen=samples, checkpoints=(0.25, 0.5, 1.0), seeds=3, workers=workers, device="cuda", scoring=_SCORING)


def main() -> None:
    """Run what the options ask for."""
    asked = _options().parse_args()
    training, usual = _training(asked)
    at = Folder((asked.work or CACHE / "rank" / ("full" if asked.full else "reduced")).absolute())
    prepare(at, rows=asked.rows, clean_rows=asked.clean_rows)
    stages = Stages(at)
    score_and_mark(stages, training)
    train_and_rank(stages, filter_pool(stages), training)
    truth = against_truth(at)
    measured = ranked(at, truth, list(training.samples_seen))
    plot(measured, at.ranking / "ranking.parquet", at.ranking / "rank.svg")
    found = result(
        "rank",
        figures_of(at, truth, stages.costs, scale=list(training.samples_seen)[-1]),
        measured,
        **_told(at, stages, training, truth),
    )
    print(f"\n{table(measured)}\n\n{block_of(found)}\n\nreport: {at.ranking / 'report.html'}")
    whole = usual and (asked.rows, asked.clean_rows) == (_ROWS, _CLEAN_ROWS)
    if whole:
        (RESULTS / "rank.svg").write_bytes((at.ranking / "rank.svg").read_bytes())
    finish(found, whole=whole)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.rank", description=__doc__, allow_abbrev=False)
    parser.add_argument("--rows", type=int, default=_ROWS, help=f"rows of the noisy pool ({_ROWS:,})")
    parser.add_argument(
        "--clean-rows", type=int, default=_CLEAN_ROWS, help=f"real pairs before it, to score with ({_CLEAN_ROWS:,})"
    )
    parser.add_argument("--full", action="store_true", help="two sizes of model, on a GPU; without it one, on the CPU")
    parser.add_argument("--seeds", type=int, help="of each subset's models (3)")
    parser.add_argument("--samples-seen", type=int, help="of each model (40,960; --full: 122,880 at demo, 245,760 at micro)")
    parser.add_argument("--scoring-samples", type=int, help=f"of the scoring model ({_SCORING[1]:,})")
    parser.add_argument("--scale", nargs="+", metavar="NAME", help="scales to train at (demo; --full: demo micro)")
    parser.add_argument("--workers", type=int, help="models that are trained at once (as many as cores; --full: at most 6)")
    parser.add_argument("--device", help="for torch (cpu; --full: cuda)")
    parser.add_argument("--work", type=Path, metavar="DIR", help="what is made on the way; run again, and only the rest is done")
    return parser


def _training(asked: argparse.Namespace) -> tuple[Training, bool]:
    """How models are trained, and whether that decides the same figures as the defaults do."""
    usual = full() if asked.full else reduced()
    seen = dict(usual.samples_seen)
    if asked.scale:
        seen = {scale: seen.get(scale, max(seen.values())) for scale in asked.scale}
    if asked.samples_seen:
        seen = dict.fromkeys(seen, asked.samples_seen)
    scoring = (usual.scoring[0], asked.scoring_samples or usual.scoring[1])
    training = replace(usual, samples_seen=seen, scoring=scoring, seeds=asked.seeds or usual.seeds)
    same = training == usual
    return replace(training, workers=asked.workers or usual.workers, device=asked.device or usual.device), same


def prepare(at: Folder, *, rows: int, clean_rows: int) -> None:
    """The scoring model's shards, the noisy pool's and its truth, the evaluation sets; nothing where they stand already.

    Raises SystemExit where the folder was made with other numbers.
    """
    told = {"rows": rows, "clean_rows": clean_rows, "shares": SHARES}
    done = at.truth.parent / "prepared.json"
    if done.is_file():
        if json.loads(done.read_text()) != told:
            raise SystemExit(f"{at.root}: holds a pool made otherwise ({done.read_text()}); remove it, or give another --work")
        return
    real = shared("pairs", "train")
    clean = [pair for pair in read_pairs(real, first=0, count=clean_rows) if pair.lang == "en"]
    write_uids(at.seed_subset, write_shards(at.seed_shards, clean))
    pairs = read_pairs(real, first=clean_rows, count=real_pairs_for(rows))
    pool = with_noise(pairs, texts_in_other_languages(real), rows=rows, seed=0)
    uids = write_shards(at.shards, pool)
    write_truth(at.truth, pool, uids)
    write_uids(at.subsets / f"{ORACLE}.npy", [uid for uid, pair in zip(uids, pool, strict=True) if pair.is_good])
    at.eval_sets.mkdir(exist_ok=True)
    for path in (path for name in _EVAL_SETS for path in sorted(shared("pairs", "eval").glob(f"{name}.*"))):
        (at.eval_sets / path.name).write_bytes(path.read_bytes())
    done.write_text(json.dumps(told))
    print(
        f"pool: {len(pool):,} pairs, {sum(pair.is_good for pair in pool):,} of them good; {len(clean):,} to score with",
        flush=True,
    )


def _told(at: Folder, stages: Stages, training: Training, truth: list[dict[str, Any]]) -> dict[str, Any]:
    """What the result tells besides figures and table."""
    costs = [{"stage": name, "wall_s": cost["wall_s"], "cpu_s": cost["cpu_s"]} for name, cost in stages.costs.items()]
    return {
        "truth": truth,
        "noise": shares_of(at),
        "training": asdict(training),
        "note": _NOTE,
        "stages": costs,
        "device_name": _device_name(training.device),
        "versions": versions(*_LIBRARIES),
    }


def _device_name(device: str) -> str:
    """The GPU's name; "" where it is the CPU."""
    if not device.startswith("cuda"):
        return ""
    import torch

    return torch.cuda.get_device_name(device)


if __name__ == "__main__":
    main()
