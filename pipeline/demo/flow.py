"""The demo's way through the stages: each is called as the command line calls it, on the folder that the one before it wrote."""

from collections.abc import Iterator
from concurrent.futures import as_completed
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

from pipeline import io
from pipeline.demo.account import ranking_table, truth_table, write_truth_of_filters
from pipeline.demo.generate import Generated, Sizes, generate
from pipeline.demo.server import ProxyServer
from pipeline.demo.site import Site
from pipeline.download import DownloadConfig
from pipeline.download import run as download
from pipeline.evaluate import EvaluateConfig
from pipeline.evaluate import run as evaluate
from pipeline.extract import ExtractConfig
from pipeline.extract import run as extract
from pipeline.filter import FilterConfig
from pipeline.filter import run as filter_
from pipeline.manifest import Manifest
from pipeline.pool import PoolConfig
from pipeline.pool import run as pool
from pipeline.progress import progress
from pipeline.rank import RankConfig
from pipeline.rank import run as rank
from pipeline.report import ReportConfig
from pipeline.report import run as report
from pipeline.score import ScoreConfig
from pipeline.score import run as score
from pipeline.train import TrainConfig
from pipeline.train import run as train
from pipeline.workers import worker_processes
from schemas.errors import UserError

if TYPE_CHECKING:
    from pipeline.demo import DemoConfig

_SCALE = "demo"
_COLUMN = "demo"  # scores stand in clip_demo_similarity_score
_CLIP_SCORE_FRACTION = 0.4
_SCORING_MODEL_TIMES = 2  # it is trained on so many times the samples of a reference model


class Layout:
    """The folders of a data root, in the order of the flow."""

    def __init__(self, root: str) -> None:
        self.web = io.join(root, "0_web")
        self.candidates = io.join(root, "1_candidates")
        self.pool = io.join(root, "2_pool")
        self.shards = io.join(root, "3_shards")
        self.scores = io.join(root, "4_scores")
        self.subsets = io.join(root, "5_subsets")
        self.models = io.join(root, "6_models")
        self.ranking = io.join(root, "7_ranking")


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
    subsets = _filter(at)
    _train_and_evaluate(config, at, web, subsets)
    _say(rank(RankConfig(models=at.models, out=at.ranking)))
    agreements = write_truth_of_filters(at.scores, at.ranking, web.truth, subsets)
    report(ReportConfig(root=config.root))
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


def _filter(at: Layout) -> list[str]:
    """The subsets: three filters, and for each that drops something a random subset of its size. Paths, in order."""
    paths = {name: io.join(at.subsets, f"{name}.npy") for name in ("no_filter", "basic_filter", "clip_score")}
    configs = [
        FilterConfig(name="no_filter", metadata_dir=at.scores, save_path=paths["no_filter"]),
        FilterConfig(name="basic_filter", metadata_dir=at.scores, save_path=paths["basic_filter"]),
        FilterConfig(
            name="clip_score", metadata_dir=at.scores, save_path=paths["clip_score"], arch=_COLUMN, fraction=_CLIP_SCORE_FRACTION
        ),
    ]
    for name in ("basic_filter", "clip_score"):
        control = io.join(at.subsets, f"random_like_{name}.npy")
        configs.append(FilterConfig(name="random_subset", metadata_dir=at.scores, save_path=control, like=paths[name]))
    for settings in configs:
        _say(filter_(settings), io.stem(settings.save_path))
    return [settings.save_path for settings in configs]


def _train_and_evaluate(config: "DemoConfig", at: Layout, web: Generated, subsets: list[str]) -> None:
    """Every subset with every seed, a run per process at a time; all read the one decoded pool, which the first run makes."""
    runs = [
        TrainConfig(shards=at.shards, subset=subset, scale=_SCALE, seed=seed, out=at.models, samples_seen=config.samples_seen)
        for seed in range(config.seeds)
        for subset in subsets
    ]
    with worker_processes(config.workers) as processes:
        futures = [processes.submit(_train_one, settings, web.eval_sets) for settings in runs]
        for future in progress(as_completed(futures), total=len(futures), label="train and evaluate", unit="run"):
            future.result()


def _train_one(settings: TrainConfig, eval_sets: str) -> None:
    import torch

    from pipeline.train.reference import run_folder

    torch.set_num_threads(1)  # as many runs at once as there are cores: threads of one would take another's
    train(settings)
    evaluate(EvaluateConfig(model=run_folder(settings), eval=eval_sets))


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
