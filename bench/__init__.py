"""Benchmarks beside the peers, one module per stage: `make bench NAME=extract`. Nothing here runs inside the tests."""
