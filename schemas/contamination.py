"""contamination: what decontaminate writes beside metadata, row by row."""

import pyarrow as pa

from schemas.columns import column, required, table

CONTAMINATION = table(
    "One row of metadata, in its order, and the nearest image of the evaluation sets.",
    [
        required("uid", pa.string(), "32 lower-case hex digits, see candidates"),
        column("eval_set", pa.string(), "the evaluation set that it is near to, null where it is near to none"),
        column("eval_item", pa.int64(), "the place of the near image in its set, from 0; null likewise"),
        column("eval_cos", pa.float32(), "cosine to the nearest evaluation image, null where embeddings were not compared"),
        column(
            "eval_bits", pa.int32(), "different bits to the nearest perceptual hash of 64, null where none was compared", "bits"
        ),
    ],
)
