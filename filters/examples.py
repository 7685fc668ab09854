"""The filters in the order in which docs/filters.md has them, with an example of each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from schemas.candidates import CANDIDATES
from schemas.contamination import CONTAMINATION
from schemas.duplicates import DUPLICATES
from schemas.scores import SCORES

GROUPS = {
    "Controls": ("no_filter", "random_subset"),
    "DataComp's baselines": (
        "basic_filter",
        "clip_score",
        "laion2b",
        "text_based",
        "image_based",
        "image_based_intersect_clip_score",
    ),
    "By a score or an embedding": ("score_range", "language_share", "negclip_loss", "norm_sim", "density", "soft_cap"),
    "Copies": ("exact_dedup", "perceptual_dedup", "semantic_dedup", "decontaminated"),
    "The text": ("language", "min_words", "min_characters", "repetition", "boilerplate", "file_name_text", "metaclip"),
    "The image's size": ("min_side", "max_aspect_ratio"),
    "Rights": ("opt_out", "licence"),
}


@dataclass(frozen=True, kw_only=True)
class Example:
    """Parameters as a researcher would give them, and the folders that the columns come from."""

    values: Mapping[str, Any] = field(default_factory=dict)
    beside: tuple[str, ...] = ()


_BEST = {"arch": "l14", "fraction": 0.3}
_FILES = {"lid_model": "lid.176.bin", "assets": "assets"}

EXAMPLES = {
    "no_filter": Example(),
    "random_subset": Example(values={"fraction": 0.3, "seed": 1}),
    "basic_filter": Example(),
    "clip_score": Example(values=_BEST),
    "laion2b": Example(),
    "text_based": Example(values=_FILES),
    "image_based": Example(values={"image_based_scale": "medium", **_FILES}),
    "image_based_intersect_clip_score": Example(values={"image_based_scale": "medium", **_BEST, **_FILES}),
    "score_range": Example(values={"column": "aesthetic_score", "at_least": 5.0}, beside=("aesthetic",)),
    "language_share": Example(values={"arch": "l14", "head": 0.3, "least_rows": 1000}),
    "negclip_loss": Example(values=_BEST),
    "norm_sim": Example(values={**_BEST, "target": "imagenet_l14.npy"}),
    "density": Example(values={"fraction": 0.3, "centroids": "dups/centroids.npy"}, beside=("dups",)),
    "soft_cap": Example(values={"arch": "l14", "fraction": 1.0}),
    "exact_dedup": Example(beside=("dups",)),
    "perceptual_dedup": Example(values={"bits": 4}, beside=("dups",)),
    "semantic_dedup": Example(values={"cosine": 0.95}, beside=("dups",)),
    "decontaminated": Example(values={"cosine": 0.95, "bits": 4}, beside=("contamination",)),
    "language": Example(values={"code": "en"}),
    "min_words": Example(values={"words": 3}),
    "min_characters": Example(values={"characters": 6}),
    "repetition": Example(values={"most_words": 0.5}),
    "boilerplate": Example(values={"most": 10}),
    "file_name_text": Example(values={"kinds": ["file", "camera", "address"]}),
    "metaclip": Example(values={"entries": "metadata.json", "t": 20_000}),
    "min_side": Example(values={"px": 200}),
    "max_aspect_ratio": Example(values={"ratio": 3.0}),
    "opt_out": Example(values={"unknown": "drop"}),
    "licence": Example(values={"allow": ["cc0", "pdm", "cc-by"]}),
}

# The columns that metadata may have.
COLUMNS = tuple(
    dict.fromkeys(
        [
            *SCORES.names,
            *CANDIDATES.names,
            *DUPLICATES.names,
            *CONTAMINATION.names,
            *("aesthetic_score", "b32_img", "b32_txt", "l14_img", "l14_txt"),
        ]
    )
)

# What filters read whose examples cannot be built here, for want of the files that they take.
READS = {
    "text_based": ("text",),
    "image_based": ("text", "l14_img"),
    "image_based_intersect_clip_score": ("clip_l14_similarity_score", "text", "l14_img"),
    "norm_sim": ("l14_img",),
    "density": ("uid", "cluster", "cluster_cos"),
    "metaclip": ("uid", "text"),
}
