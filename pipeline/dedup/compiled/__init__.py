"""The inner loops of dedup, compiled on first use by numba and kept in its cache: hashing rows, comparing sketches, products."""
