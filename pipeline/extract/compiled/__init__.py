"""The inner loops of extract, compiled on first use by numba and kept in its cache: no build step, for any CPU.

They take what Common Crawl's extractor writes and nothing else: at the first byte that they do not expect they give the record
(or the link) back, and the tolerant Python path reads it. So they need not be complete, only right.
"""
