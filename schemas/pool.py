"""pool: deduplicated, policy-checked candidates: what `download` fetches."""

import pyarrow as pa

from schemas.candidates import CANDIDATES
from schemas.columns import column, required, table

POOL = table(
    "One image-text pair to download: the earliest record of its uid (or URL, or text), in the order of the sampling hash.",
    [
        *CANDIDATES,
        column("lang", pa.string(), "ISO 639 code of the alt text's most likely language; null where nothing was recognised"),
        column("lang_prob", pa.float32(), "probability of lang, 0 to 1"),
        required("domain", pa.string(), "registrable domain of url (public suffix list), or the bare host"),
        required("opted_out", pa.bool_(), "a page that carries this pair opts out of AI use (only with --opt-out flag)"),
        required(
            "n_records",
            pa.int32(),
            "candidates with this uid, the survivor included (with --dedup url or text: with this URL or text)",
        ),
        required("sample_rank", pa.int64(), "order of the deterministic sample: pool of F is sample_rank < F * 2^63"),
    ],
)
