#!/bin/sh
# The whole way on a Spark standalone cluster and an S3 server of this machine, from a fresh clone: makes what is missing, brings
# all of it up, runs the stages, holds the result beside the same commands run locally, breaks things on purpose, takes all of it
# down. As root the Workers are in network namespaces, else on loopback. Options: bench/cluster.sh --help
set -eu
export OMP_NUM_THREADS=1 # a core for each executor, and for the commands beside them
cd "$(dirname "$0")/.."
make -s .venv/develops dist/webpairs.zip dist/environment.pex
exec .venv/bin/python -m bench.cluster "$@"
