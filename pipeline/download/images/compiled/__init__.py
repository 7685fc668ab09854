"""What numba compiles on first use: loops over pixels that the libraries do slowly (bench/decoders.py)."""
