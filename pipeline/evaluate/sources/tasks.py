"""What a model is tested on: an evaluation set is a stream of items, and the tasks that are asked about them.

Where sets come from: parquet_sets.py, image_folders.py, webdatasets.py, hub_parquets.py. What is found in a folder: sets.py.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

# What a class name is put into where the set does not say; the embeddings of all are averaged (Radford et al. 2021).
TEMPLATES = ("a photo of a {}", "{}", "a {}", "a picture of a {}")

MAIN_CLASSIFICATION = "acc1"
MAIN_RETRIEVAL = "mean_recall@1"


@dataclass(frozen=True, kw_only=True)
class Item:
    """One image of a set and what is known of it."""

    where: str  # for whoever has to look at it: row 3 of a file, a sample's key, a file's path
    image: bytes  # encoded
    label: int = -1  # number of its class; -1 where the set has none
    texts: tuple[str, ...] = ()  # its captions
    group: int | None = None  # of images that are counted together, such as those of a region
    puzzle: int = -1  # number of the puzzle that it is a candidate of
    wanted: bool = False  # whether it is one of the puzzle's answers


@dataclass(frozen=True, kw_only=True)
class Classification:
    """Which of m classes each image shows. `main_metric` may be one of grouped.py's where the items have groups."""

    name: str
    dataset: str
    classes: tuple[str, ...]
    templates: tuple[str, ...]
    main_metric: str = MAIN_CLASSIFICATION


@dataclass(frozen=True, kw_only=True)
class Retrieval:
    """Which texts belong to each image, and which image to each text."""

    name: str
    dataset: str
    main_metric: str = MAIN_RETRIEVAL


@dataclass(frozen=True, kw_only=True)
class Association:
    """WinoGAViL (Bitton et al. 2022): which of a puzzle's candidate images its cue is associated with."""

    name: str
    dataset: str
    cues: tuple[str, ...]  # one per puzzle
    main_metric: str


Task = Classification | Retrieval | Association


@dataclass(frozen=True, kw_only=True)
class EvalSet:
    """A file or folder with its tasks. `items` begins anew with each call, and reads as it goes.

    Iterating may raise UserError, for what cannot be read only then.
    """

    path: str
    tasks: tuple[Task, ...]
    items: Callable[[], Iterator[Item]] = field(repr=False)
    digest: str | None = None  # of its files, where reading them for it is no burden; else `Digest` sums up the items


@dataclass
class Digest:
    """16 hex digits that name items, classes and prompts: results of different ones are not to be compared."""

    tasks: Sequence[Task]

    def __post_init__(self) -> None:
        """Begin with what the tasks ask."""
        self._sum = hashlib.sha256()
        for task in self.tasks:
            if isinstance(task, Classification):
                self._add("\n".join([*task.classes, "", *task.templates]).encode("utf-8", "surrogatepass"))
            elif isinstance(task, Association):
                self._add("\n".join(task.cues).encode("utf-8", "surrogatepass"))

    def add(self, item: Item) -> None:
        """Take account of the next item."""
        self._add(item.image)
        told = f"{item.label} {item.group} {item.puzzle} {item.wanted}\n" + "\n".join(item.texts)
        self._add(told.encode("utf-8", "surrogatepass"))

    def _add(self, content: bytes) -> None:
        self._sum.update(len(content).to_bytes(8, "little"))
        self._sum.update(content)

    @property
    def hex(self) -> str:
        """The digits."""
        return self._sum.hexdigest()[:16]


def prompts_of(name: str, templates: Sequence[str]) -> list[str]:
    """The texts that stand for a class. A place for its name is {} or, as in CLIP_benchmark's files, {c}."""
    return [template.replace("{c}", name) if "{c}" in template else template.replace("{}", name) for template in templates]


def is_template(value: object) -> bool:
    """Whether a value is a text with a place for a class name."""
    return isinstance(value, str) and ("{}" in value or "{c}" in value)
