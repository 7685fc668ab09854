"""licence: keeps rows of pages that declare one of the Creative Commons licences that are asked for."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import pyarrow as pa
import pyarrow.compute as pc

from filters.needed import require_columns
from filters.registry import Context, Entry, parameter
from schemas.errors import UsageError

# The path of a Creative Commons deed → the family that it is of, whatever its version and jurisdiction. Those of the first
# versions name their terms in other orders.
_FAMILIES = {
    "publicdomain/zero": "cc0",
    "publicdomain/mark": "pdm",
    "licenses/publicdomain": "pdm",
    "licenses/by": "cc-by",
    "licenses/by-sa": "cc-by-sa",
    "licenses/by-nd": "cc-by-nd",
    "licenses/by-nc": "cc-by-nc",
    "licenses/by-nc-sa": "cc-by-nc-sa",
    "licenses/by-nc-nd": "cc-by-nc-nd",
    "licenses/by-nd-nc": "cc-by-nc-nd",
    "licenses/sa": "cc-sa",
    "licenses/nd": "cc-nd",
    "licenses/nc": "cc-nc",
    "licenses/nc-sa": "cc-nc-sa",
    "licenses/nd-nc": "cc-nc-nd",
    "licenses/nc-nd": "cc-nc-nd",
}
FAMILIES = tuple(dict.fromkeys(_FAMILIES.values()))
_DEED = (
    r"(?is)^\s*https?://(?:www\.)?creativecommons\.org(?::(?:80|443))?"
    r"/+(?P<kind>licenses|publicdomain)(?:/+(?P<terms>[a-z-]+))?(?:[/?#].*|\s*)$"
)
_COMMONS = pa.array([path.encode() for path in _FAMILIES])


@dataclass(frozen=True)
class Licence:
    """Keeps rows whose `license_url` is the deed of a family in `allow`, of any version, port and language.

    It is what the page says of itself by its first rel=license link, which need not hold for each of its images. `missing` says
    what becomes of a page that says nothing; one with a link to anything else is dropped.
    """

    allow: tuple[str, ...]
    missing: Literal["drop", "keep"]
    name: ClassVar[str] = "licence"
    reads: ClassVar[tuple[str, ...]] = ("license_url",)

    def keep(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """(n,) True where the licence is one of those."""
        found = families(batch["license_url"])
        allowed = pc.is_in(found, value_set=pa.array(self.allow, pa.string()))
        if self.missing == "drop":
            return allowed
        links = batch["license_url"].cast(pa.string())
        return pc.or_(allowed, pc.equal(pc.ascii_trim_whitespace(pc.fill_null(links, "")), ""))


def families(links: pa.Array) -> pa.StringArray:
    """(n,) the family of each deed's URL, one of FAMILIES; null for null and every other link."""
    parts = pc.extract_regex(links.cast(pa.string()), _DEED)
    kind, terms = (pc.utf8_lower(pc.struct_field(parts, name)) for name in ("kind", "terms"))
    path = pc.binary_join_element_wise(kind, terms, "/").cast(pa.binary())
    which = pc.index_in(path, value_set=_COMMONS)
    return pa.array(list(_FAMILIES.values()), pa.string()).take(which)


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """What licence is told."""

    allow: tuple[str, ...] = parameter(
        f"the families that are kept, of {', '.join(FAMILIES)}", ("cc0", "pdm", "cc-by", "cc-by-sa")
    )
    missing: Literal["drop", "keep"] = parameter("what becomes of rows whose page declares no licence", "drop")


def _build(asked: Parameters, context: Context) -> Licence:
    for family in asked.allow:
        if family not in FAMILIES:
            raise UsageError(f"licence: allow has {family!r}; the families are {', '.join(FAMILIES)}")
    if not asked.allow:
        raise UsageError(f"licence: allow is empty; the families are {', '.join(FAMILIES)}")
    require_columns(
        "licence", Licence.reads, context, "`webpairs extract` finds it, and score carries it; DataComp's metadata has none"
    )
    return Licence(asked.allow, asked.missing)


ENTRY = Entry(
    name="licence",
    summary="pairs from pages under one of the Creative Commons licences that are asked for",
    source="Creative Commons, canonical URLs of its licences; WHATWG HTML, link type license",
    parameters=Parameters,
    build=_build,
)
