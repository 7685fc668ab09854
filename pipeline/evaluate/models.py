"""Which models are evaluated: all checkpoints of a run of `train`, or one published model by its open_clip name."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline import io
from pipeline.clip import Clip, is_checkpoint, load_clip
from pipeline.devices import device_here
from pipeline.nearby import sha256_of
from pipeline.stage import require_complete
from pipeline.train.reference import TRAIN_JSON, checkpoint_name
from schemas.errors import UserError

if TYPE_CHECKING:
    from pipeline.evaluate import EvaluateConfig

_TOLD = {"filter": str, "scale": str, "model": str, "seed": int, "rows": int, "checkpoints": list}
PUBLISHED = "published"  # the scale of what was trained elsewhere


@dataclass(frozen=True)
class Source:
    """What results tell of the models, their weights by samples seen, and what names these weights in a config."""

    told: dict[str, Any]
    weights: dict[int, str]
    upstream: Any

    def load(self, *, device: str, precision: str) -> dict[int, Clip]:
        """The models, by samples seen. Raises UserError for a device or a checkpoint that will not do."""
        place = device_here(device)
        loaded = {
            seen: load_clip(self.told["model"], path, device=place, precision=precision) for seen, path in self.weights.items()
        }
        return dict(sorted(loaded.items()))


def source_of(config: "EvaluateConfig") -> Source:
    """Where the models are. Raises UserError for a folder that is not that of a finished run."""
    if config.model is None:
        raise UserError("no --model")
    return _run(config.model) if config.pretrained is None else _published(config.model, config.pretrained)


def _published(model: str, pretrained: str) -> Source:
    """A model that was trained elsewhere: nothing is known of its pairs and samples, so both are 0."""
    own = is_checkpoint(pretrained)
    told = {
        "filter": io.stem(pretrained) if own else pretrained,
        "scale": PUBLISHED,
        "model": model,
        "seed": 0,
        "rows": 0,
    }
    return Source(told, {0: pretrained}, f"sha256 {sha256_of(pretrained)}" if own else pretrained)


def _run(folder: str) -> Source:
    upstream = require_complete(folder)
    path = io.join(folder, TRAIN_JSON)
    if not io.exists(path):
        raise UserError(
            f"{folder}: no {TRAIN_JSON} in it; give the folder of one run of `train` (…/FILTER/SCALE/seed_N), or the name of a "
            "published model with --pretrained"
        )
    try:
        told = _told(io.read_bytes(path))
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not what `train` writes ({error}); remove {folder} and train again") from error
    return Source(told, {seen: io.join(folder, checkpoint_name(seen)) for seen in told["checkpoints"]}, upstream)


def _told(content: bytes) -> dict[str, Any]:
    """What train.json tells of a run. Raises ValueError, KeyError or TypeError where it lacks what an evaluation needs."""
    told = json.loads(content)
    wrong = [name for name, kind in _TOLD.items() if not isinstance(told[name], kind)]
    if wrong or not told["checkpoints"] or not all(isinstance(seen, int) for seen in told["checkpoints"]):
        raise ValueError(f"wrong values of {', '.join(wrong) or 'checkpoints'}")
    if not isinstance(told.get("flops_per_sample", 0.0), int | float | None):
        raise ValueError("wrong value of flops_per_sample")
    return dict(told)
