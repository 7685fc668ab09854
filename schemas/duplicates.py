"""duplicates: what `dedup` finds, in parquets beside the metadata: the same rows in the same order, and the columns asked for."""

import pyarrow as pa

from schemas.columns import column, required, table

DUPLICATES = table(
    "One row of the metadata file of the same name, and which earlier row it repeats. Earlier means better by the order that was "
    "given. Only the columns of the kinds asked for are there. centroids.npy: (clusters, d) float32, unit length.",
    [
        required("uid", pa.string(), "32 lower-case hex digits, see candidates"),
        column("exact_dup_of", pa.string(), "uid of the first row whose image has the same sha256; null for that row itself"),
        column("phash_dup_of", pa.string(), "uid of the earlier row with the nearest perceptual hash, of equally near the first"),
        column("phash_dup_bits", pa.int32(), "how far that hash is", "bits of 64"),
        column("dup_of", pa.string(), "uid of the earlier row with the nearest embedding; null where none reaches the floor"),
        column("dup_cos", pa.float32(), "cosine to that embedding"),
        column("cluster", pa.int32(), "number of the nearest centroid; null for a row without an embedding"),
        column("cluster_cos", pa.float32(), "cosine to that centroid"),
    ],
)
