"""laion2b: DataComp's rebuilding of LAION-2B-en's rule: English by CLD3, and a B/32 similarity of at least 0.28."""

import functools
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa

from filters.clip_score import ClipScore, clip_column_of
from filters.compose import All
from filters.registry import Context, Entry, parameter

_MOST_BYTES = 1000  # of a text that CLD3 looks at


@dataclass(frozen=True)
class Cld3Language:
    """Keeps texts whose most likely language by CLD3 is `code`. Drops null. As DataComp asks it: newlines become spaces."""

    code: str
    name: ClassVar[str] = "cld3_language"
    reads: ClassVar[tuple[str, ...]] = ("text",)
    costly: ClassVar[int] = 2

    def keep(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """(n,) True where CLD3 says that language."""
        find = _identifier().FindLanguage
        texts = batch["text"].to_pylist()
        return pa.array([text is not None and find(text.replace("\n", " ")).language == self.code for text in texts], pa.bool_())


@functools.cache
def _identifier() -> Any:
    import gcld3

    return gcld3.NNetLanguageIdentifier(0, _MOST_BYTES)


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """What laion2b is told: nothing, where the rule is to be LAION's."""

    arch: str = parameter("another CLIP model whose score decides", "b32")
    threshold: float = parameter("another least similarity that is kept", 0.28)


def _build(asked: Parameters, context: Context) -> All:
    return All((ClipScore(clip_column_of(asked.arch, context), asked.threshold), Cld3Language("en")))


ENTRY = Entry(
    name="laion2b",
    summary="English by CLD3, and a B/32 similarity of at least 0.28",
    source="Schuhmann et al. 2022, LAION-5B, as rebuilt by Gadre et al. 2023, DataComp",
    parameters=Parameters,
    build=_build,
)
