"""basic_filter: DataComp's basic filtering: English, a caption of some length, an image of some size and a sane shape."""

from filters.compose import All
from filters.contract import Filter
from filters.image_size import MaxAspectRatio, MinSide
from filters.language import FastTextLanguage, StoredLanguage, load_lid
from filters.registry import Entry, Request
from filters.text import MinCharacters, MinWords
from schemas.errors import UserError


def basic_filter(language: Filter) -> All:
    """DataComp's rule (Gadre et al. 2023, appendix on baselines) with the language test given."""
    return All((language, MinWords(3), MinCharacters(6), MinSide(200), MaxAspectRatio(3.0)))


def _build(request: Request) -> All:
    return basic_filter(_english(request))


def _english(request: Request) -> Filter:
    if request.lid_model is not None:
        load_lid(request.lid_model)  # now, so that a bad path is told before any work
        return FastTextLanguage("en", request.lid_model)
    if "lang" in request.columns:
        return StoredLanguage("en")
    raise UserError("basic_filter: the metadata has no column `lang`; give --lid-model PATH of fastText's lid.176.bin")


ENTRY = Entry(
    name="basic_filter",
    summary="English, more than 2 words and 5 characters, shorter side at least 200 px, aspect ratio at most 3",
    takes=frozenset({"lid_model"}),
    build=_build,
)
