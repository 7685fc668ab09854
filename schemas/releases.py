"""releases: what is published of a data set: metadata with provenance, scores and duplicates; and the ledger of what went."""

import pyarrow as pa

from schemas.columns import column, required, table
from schemas.contamination import CONTAMINATION
from schemas.duplicates import DUPLICATES
from schemas.pool import POOL
from schemas.scores import SCORES, clip_column, clip_name, is_clip_column

# Rows of a release stand in this order: one site's rows lie together, so that they are found, and taken out, in few files.
SORT_ORDER = ("domain", "url", "uid")

_PROVENANCE = (
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
_TAKEN = {*_IDENTITY, *_PROVENANCE}

RELEASES = table(
    "One image-text pair of a release, in the order of domain, url, uid. The columns below as far as the data set has them; "
    "others (clip_NAME_similarity_score, measures) stand after them. Row i belongs to row i of every array in the .npz of "
    "the same stem.",
    [
        *(POOL.field(name).with_nullable(name not in {"uid", "url", "text", "domain"}) for name in (*_IDENTITY, *_PROVENANCE)),
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
        required("reason", pa.string(), "by what it was listed: uid, url, domain, hash, content or phash"),
        required("list_sha256", pa.string(), "sha256 of the removal list's bytes, hex: the first list given that has it"),
    ],
)


def released_field(found: pa.Field) -> pa.Field:
    """The declared column for one that a data set has: RELEASES' own, or with a doc of its kind, or as it is."""
    if found.name in RELEASES.names:
        return RELEASES.field(found.name)
    if is_clip_column(found.name):
        return clip_column(clip_name(found.name))
    return column(found.name, found.type, (found.metadata or {}).get(b"doc", b"").decode() or "a column of the data set's own")
