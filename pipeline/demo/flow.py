"""The demo's way through the stages: each is called as the command line calls it, on the folder that the one before it wrote."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np

from filters.embeddings import embedding
from filters.measured import threshold_at
from pipeline import io
from pipeline.decontaminate import DecontaminateConfig
from pipeline.decontaminate import run as decontaminate
from pipeline.dedup import DedupConfig
from pipeline.dedup import run as dedup
from pipeline.demo.account import ranking_table, truth_table, write_truth_of_filters
from pipeline.demo.generate import Generated, Sizes, generate
from pipeline.demo.server import ProxyServer
from pipeline.demo.site import Site
from pipeline.download import DownloadConfig
from pipeline.download import run as download
from pipeline.extract import ExtractConfig
from pipeline.extract import run as extract
from pipeline.filter import FilterConfig
from pipeline.filter import run as filter_
from pipeline.filter.recipe import OURS
from pipeline.manifest import Manifest
from pipeline.metadata.files import metadata_files
from pipeline.metadata.read import read_batches
from pipeline.pool import PoolConfig
from pipeline.pool import run as pool
from pipeline.rank import RankConfig
from pipeline.rank import run as rank
from pipeline.rank.running import train_and_evaluate
from pipeline.release import ReleaseConfig
from pipeline.release import run as release
from pipeline.report import ReportConfig
from pipeline.report import run as report
from pipeline.score import ScoreConfig
from pipeline.score import run as score
from pipeline.train import TrainConfig
from pipeline.train import run as train
from schemas.errors import UserError
from schemas.scores import CLIP_COLUMN

if TYPE_CHECKING:
    from pipeline.demo import DemoConfig

_SCALE = "demo"
_COLUMN = "demo"  # scores stand in clip_demo_similarity_score
_CLIP_SCORE_FRACTION = 0.4
# The demo's pictures are few shapes on few backgrounds, and its small CLIP finds most of them alike.
_SAME_COSINE, _SAME_BITS, _CLUSTERS = 0.995, 2, 256
_TRAINED = ("basic_filter", "clip_score", "webpairs")  # of the filters, those that a model is trained for
_SCORING_MODEL_TIMES = 2  # it is trained on so many times the samples of a reference model


class Layout:
    """The folders of a data root, in the order of the flow."""

    def __init__(self, root: str) -> None:
        self.web = io.join(root, "0_web")
        self.candidates = io.join(root, "1_candidates")
        self.pool = io.join(root, "2_pool")
        self.shards = io.join(root, "3_shards")
        self.scores = io.join(root, "4_scores")
        self.duplicates = io.join(root, "4_duplicates")
        self.contamination = io.join(root, "4_contamination")
        self.subsets = io.join(root, "5_subsets")
        self.models = io.join(root, "6_models")
        self.ranking = io.join(root, "7_ranking")
        self.release = io.join(root, "release")


def run_demo(config: "DemoConfig") -> None:
    """Generate the web, run every stage on it, print what the truth says of the filters, and the ranking."""
    at = Layout(config.root)
    with _told("generate: a web, its WAT files, a clean seed set, evaluation sets"):
        sizes = Sizes(pairs=config.pairs, seed_pairs=config.seed_pairs, eval_items=config.eval_items, seed=config.seed)
        web = generate(at.web, sizes, config.workers)
    _collect(config, at, web)
    checkpoint = _train_scoring_model(config, at, web)
    # In fp32, so that the figures are the same on a CPU that computes in bf16.
    scoring = ScoreConfig(shards=at.shards, out=at.scores, model="demo", pretrained=checkpoint, column=_COLUMN, precision="fp32")
    _say(score(scoring))
    _mark(config, at, web, checkpoint)
    subsets = _filter(config, at, web, checkpoint)
    _train_and_evaluate(config, at, web, subsets)
    _say(rank(RankConfig(models=at.models, out=at.ranking)))
    agreements = write_truth_of_filters(at.scores, at.ranking, web.truth, subsets)
    report(ReportConfig(root=config.root))
    _say(release(ReleaseConfig(root=config.root, out=at.release, name="webpairs-demo", workers=config.workers)))
    print(f"\nWhat the generator knows of each filter's choice\n\n{truth_table(agreements)}")
    print(f"\nThe ranking: percent, average over tasks; all of it in {io.join(at.ranking, 'ranking.md')}\n")
    print(ranking_table(io.join(at.ranking, "ranking.parquet")))
    print(f"\nreport: {io.join(at.ranking, 'report.html')}")


def _collect(config: "DemoConfig", at: Layout, web: Generated) -> None:
    _say(extract(ExtractConfig(wat=(web.wat,), out=at.candidates, workers=config.workers)))
    _say(pool(PoolConfig(candidates=at.candidates, out=at.pool, partitions=4, workers=config.workers)))
    with Site(web.site) as site, ProxyServer(site.lookup) as server:
        settings = DownloadConfig(
            pool=at.pool, out=at.shards, proxy=server.proxy_url, image_size=256, samples_per_shard=1000, workers=config.workers
        )
        _say(download(settings))


def _train_scoring_model(config: "DemoConfig", at: Layout, web: Generated) -> str:
    """A data filtering network (Fang et al. 2023): a small CLIP trained on clean pairs. The path of its checkpoint."""
    from pipeline.train.reference import run_folder
    from pipeline.train.scales import scale_of

    samples = _SCORING_MODEL_TIMES * (config.samples_seen or scale_of(_SCALE).samples_seen)
    models, checkpoint = io.join(at.web, "scoring_model"), io.join(at.web, "scoring_model.pt")
    settings = TrainConfig(shards=web.seed_shards, subset=web.seed_subset, scale=_SCALE, out=models, samples_seen=samples)
    with _told("train: the scoring model, on the clean seed set"):
        train(settings)
        with io.atomic_write(checkpoint) as file:
            file.write(io.read_bytes(io.list_files(run_folder(settings), ".pt")[-1]))
    return checkpoint


def _mark(config: "DemoConfig", at: Layout, web: Generated, checkpoint: str) -> None:
    """Of which pair each is a copy, and which are near the evaluation sets."""
    kinds = ("semantic", "perceptual", "exact")
    _say(dedup(DedupConfig(metadata=at.scores, out=at.duplicates, by=kinds, clusters=_CLUSTERS, workers=config.workers)))
    settings = DecontaminateConfig(
        metadata=at.scores,
        eval=web.eval_sets,
        out=at.contamination,
        model="demo",
        pretrained=checkpoint,
        embeddings=f"{_COLUMN}_img",
        cosine=_SAME_COSINE,
        bits=_SAME_BITS,
    )
    _say(decontaminate(settings))


def _filter(config: "DemoConfig", at: Layout, web: Generated, checkpoint: str) -> list[str]:
    """The subsets. The paths of those that models are trained on, in order: no filter, then each and a random one of its size."""
    path = {name: io.join(at.subsets, f"{name}.npy") for name in ("no_filter", *_TRAINED, *OURS)}
    beside = (at.duplicates, at.contamination)
    of: dict[str, Any] = {
        "no_filter": {"name": "no_filter"},
        "basic_filter": {"name": "basic_filter"},
        "clip_score": {"name": "clip_score", "arch": _COLUMN, "fraction": _CLIP_SCORE_FRACTION},
        "webpairs": {
            "recipe": "webpairs",
            "arch": _COLUMN,
            "param": (f"cosine={_SAME_COSINE}", f"bits={_SAME_BITS}"),
            "beside": beside,
        },
        "dfn": {"recipe": "dfn", "arch": _COLUMN},
        "laion_2b_en": {"recipe": "laion_2b_en", "arch": _COLUMN, "threshold": _laion_threshold(at)},
        "datacomp_1b": {"recipe": "datacomp_1b", "arch": _COLUMN, "param": _image_based(config, at, web, checkpoint)},
    }
    for name, options in of.items():
        _say(filter_(FilterConfig(metadata_dir=at.scores, save_path=path[name], **options)), name)
    chosen = [path["no_filter"], *(path[name] for name in _TRAINED)]
    for name in _TRAINED:
        control = io.join(at.subsets, f"random_like_{name}.npy")
        settings = FilterConfig(name="random_subset", metadata_dir=at.scores, save_path=control, like=path[name])
        _say(filter_(settings), io.stem(control))
        chosen.append(control)
    return chosen


def _laion_threshold(at: Layout) -> float:
    """The score that the best 30 % of the pool reach: what 0.28 is for ViT-B/32, another number is for the demo's model."""
    column = CLIP_COLUMN.format(name=_COLUMN)
    rows = (batch[column].to_numpy() for file in metadata_files(at.scores) for batch in read_batches(file, [column]))
    return threshold_at(rows, 0.3, column)


def _image_based(config: "DemoConfig", at: Layout, web: Generated, checkpoint: str) -> tuple[str, ...]:
    """Parameters of image_based: the pool's own clusters, and pictures of the seed set in the place of ImageNet's."""
    scored, targets = io.join(at.web, "seed_scores"), io.join(at.web, "seed_images.npy")
    settings = ScoreConfig(
        shards=web.seed_shards, out=scored, model="demo", pretrained=checkpoint, column=_COLUMN, precision="fp32"
    )
    with _told("score: the seed set, as image_based's targets"):
        score(settings)
        array = f"{_COLUMN}_img"
        rows = [embedding(batch, array) for file in metadata_files(scored) for batch in read_batches(file, [array])]
        with io.atomic_write(targets) as out:
            np.save(out, np.concatenate(rows))
    centroids = io.join(at.duplicates, "centroids.npy")
    return f"centroids={centroids}", f"features=[{json.dumps(targets)}]", f"embeddings={_COLUMN}_img"


def _train_and_evaluate(config: "DemoConfig", at: Layout, web: Generated, subsets: list[str]) -> None:
    """Every subset with every seed, a run per process at a time; all read the one decoded pool, which the first run makes."""
    runs = [
        TrainConfig(shards=at.shards, subset=subset, scale=_SCALE, seed=seed, out=at.models, samples_seen=config.samples_seen)
        for seed in range(config.seeds)
        for subset in subsets
    ]
    train_and_evaluate(runs, web.eval_sets, workers=config.workers)


@contextmanager
def _told(doing: str) -> Iterator[None]:
    started = monotonic()
    yield
    print(f"{doing}  ({monotonic() - started:.1f} s)", flush=True)


def _say(manifest: Manifest, name: str = "") -> None:
    print(f"{manifest.stage}{f' {name}' if name else ''}: {manifest.summary}  ({manifest.duration_s:.1f} s)", flush=True)
    if manifest.failed_inputs:
        failure = manifest.failed_inputs[0]
        raise UserError(f"{failure.path}: {failure.error}")
