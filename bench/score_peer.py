"""clip-retrieval's inference with the settings in a JSON file: `python -m bench.score_peer FILE`, in its own environment.

Its own reader, mapper and writer, driven by its own runner as its worker does it for one partition. Two things differ, both in
its favour: its logger, which starts a process that imports everything once more, is replaced by one that keeps the same seconds
and writes them at the end; and the model is warmed up with one pair, not with a batch.
"""

import json
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pipeline.torchvision_ops  # noqa: F401 - a CPU torch's torchvision does not import without it

STATS = "stats.json"


class Seconds:
    """Stands where clip-retrieval's logger does: what its runner tells of each batch, summed up."""

    def __init__(self) -> None:
        self.total: Counter[str] = Counter()
        self.began_s, self.ended_s = 0.0, 0.0

    def start(self) -> None:
        """Nothing to start."""

    def __call__(self, batch: Mapping[str, float]) -> None:
        self.began_s = self.began_s or batch["start_time"]
        self.ended_s = batch["end_time"]
        self.total.update({name: batch[name] for name in ("read_duration", "inference_duration", "write_duration")})
        self.total["sample_count"] += int(batch["sample_count"])

    def end(self) -> None:
        """Nothing to end."""


def infer(settings: Mapping[str, Any]) -> Seconds:
    """Read, embed and write all shards. `settings`: shards, out, clip_model, batch_size, num_prepro_workers, configs."""
    import open_clip
    from all_clip import load_clip
    from clip_retrieval.clip_inference.mapper import ClipMapper
    from clip_retrieval.clip_inference.reader import WebdatasetReader
    from clip_retrieval.clip_inference.runner import Runner
    from clip_retrieval.clip_inference.writer import NumpyWriter

    open_clip.add_model_config(settings["configs"])
    # Named in the order in which its mapper names them: its cache takes another order for another model, and loads twice.
    model = {"clip_model": settings["clip_model"], "use_jit": False, "warmup_batch_size": 1, "clip_cache_path": None}
    everything = {"enable_text": True, "enable_image": True, "enable_metadata": False}

    def reader(sampler: Any) -> Any:
        _, preprocess, tokenizer = load_clip(**model)
        sizes = settings["batch_size"], settings["num_prepro_workers"]
        return WebdatasetReader(sampler, preprocess, tokenizer, settings["shards"], *sizes, **everything)

    def mapper() -> Any:
        return ClipMapper(**everything, use_mclip=False, mclip_model="", **model)

    def writer(number: int) -> Any:
        return NumpyWriter(number, settings["out"], True, True, False, 1)

    seconds = Seconds()
    Runner(reader, mapper, writer, lambda number: seconds, 1)(0)
    return seconds


if __name__ == "__main__":
    asked = json.loads(Path(sys.argv[1]).read_text())
    Path(asked["out"]).mkdir(parents=True)
    spent = infer(asked)
    told = {**spent.total, "between_s": spent.ended_s - spent.began_s}
    Path(asked["out"], STATS).write_text(json.dumps(told))
