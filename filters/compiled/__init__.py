"""Filters' inner loops over the bytes of texts, compiled by numba."""
