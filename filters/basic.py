"""basic_filter: DataComp's basic filtering: English, a caption of some length, an image of some size and a sane shape."""

from dataclasses import dataclass

from filters.compose import All
from filters.contract import Filter
from filters.image_size import MaxAspectRatio, MinSide
from filters.language import language
from filters.registry import Context, Entry, parameter
from filters.text import MinCharacters, MinWords


def basic_filter(english: Filter) -> All:
    """DataComp's rule (Gadre et al. 2023, appendix on baselines) with the language test given."""
    return All((english, MinWords(3), MinCharacters(6), MinSide(200), MaxAspectRatio(3.0)))


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """What basic_filter is told."""

    lid_model: str | None = parameter("fastText's lid.176.bin; without it the stored column `lang` decides", None, file=True)
    assets: str | None = parameter("folder with lid.176.bin, which decides where no column `lang` does", None)


def _build(asked: Parameters, context: Context) -> All:
    return basic_filter(language("en", asked.lid_model, context, "basic_filter", asked.assets))


ENTRY = Entry(
    name="basic_filter",
    summary="English, more than 2 words and 5 characters, shorter side at least 200 px, aspect ratio at most 3",
    source="Gadre et al. 2023, DataComp",
    parameters=Parameters,
    build=_build,
)
