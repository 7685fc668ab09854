"""releases: what is published of a data set: metadata with provenance, scores and duplicates; and the ledger of what went."""

import pyarrow as pa

from schemas.columns import column, doc_of, required, table, unit_of
from schemas.contamination import CONTAMINATION
from schemas.duplicates import DUPLICATES
from schemas.pool import POOL
from schemas.scores import SCORES, clip_column, clip_name, is_clip_column

# Rows of a release stand in this order: one site's rows lie together, so that they are found, and taken out, in few files.
SORT_ORDER = ("domain", "url", "uid")

PROVENANCE = (
    "page_url",
    "crawl",
    "wat_path",
    "record_offset",
    "fetched_at",
    "html_lang",
    "content_language",
    "license_url",
    "robots",
    "tdm_reserved",
    "opted_out",
    "source",
)
_IDENTITY = ("uid", "url", "text", "domain", "lang", "lang_prob")
_TAKEN = {*_IDENTITY, *PROVENANCE}

RELEASES = table(
    "One image-text pair of a release, in the order of domain, url, uid. The columns below as far as the data set has them; "
    "others (clip_NAME_similarity_score, measures) stand after them. Row i belongs to row i of every array in the .npz of "
    "the same stem.",
    [
        *(POOL.field(name).with_nullable(name not in {"uid", "url", "text", "domain"}) for name in (*_IDENTITY, *PROVENANCE)),
        *(field for field in SCORES if field.name not in _TAKEN),
        *(field for field in DUPLICATES if field.name != "uid"),
        *(field for field in CONTAMINATION if field.name != "uid"),
    ],
)

LEDGERS = table(
    "One pair that a revision took out. Who holds the earlier revision finds it by the hash of its uid; who does not learns "
    "nothing of it.",
    [
        required("uid_sha256", pa.string(), "sha256 of the uid's 32 lower-case hex digits, hex"),
        required("reason", pa.string(), "by what it was listed: uid, url, domain, hash, content, phash or page"),
        required("list_sha256", pa.string(), "sha256 of the removal list's bytes, hex: the first list given that has it"),
    ],
)


def released_field(found: pa.Field) -> pa.Field:
    """The declared column for one that a data set has: RELEASES' own, or with a doc of its kind, or as it is."""
    if found.name in RELEASES.names:
        return RELEASES.field(found.name)
    if is_clip_column(found.name):
        return clip_column(clip_name(found.name))
    own = POOL.field(found.name) if found.name in POOL.names else found
    told = doc_of(own) if own.metadata and b"doc" in own.metadata else "a column of the data set's own"
    return column(found.name, _plain(found.type), told, unit_of(own))


def _plain(kind: pa.DataType) -> pa.DataType:
    """The type in which a foreign column is published: as Spark and every reader knows it (schemas.columns says why)."""
    found, is_a = kind, pa.types
    if is_a.is_dictionary(kind):
        found = _plain(kind.value_type)
    elif is_a.is_large_string(kind) or is_a.is_string_view(kind):
        found = pa.string()
    elif is_a.is_large_binary(kind) or is_a.is_binary_view(kind) or is_a.is_fixed_size_binary(kind):
        found = pa.binary()
    elif is_a.is_unsigned_integer(kind):
        found = {8: pa.int16(), 16: pa.int32()}.get(kind.bit_width, pa.int64())
    elif is_a.is_float16(kind):
        found = pa.float32()
    elif is_a.is_timestamp(kind):
        found = pa.timestamp("us", "UTC" if kind.tz else None)
    elif is_a.is_list(kind) or is_a.is_large_list(kind) or is_a.is_fixed_size_list(kind):
        found = pa.list_(pa.field("element", _plain(kind.value_type)))
    return found
