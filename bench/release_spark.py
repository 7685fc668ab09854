"""The release through Spark, for the benchmark: `python -m bench.release_spark ROOT OUT FILE_ROWS CORES`."""

import sys

from pipeline.release import ReleaseConfig, run
from pipeline.spark import local_session

if __name__ == "__main__":
    root, out, file_rows, cores = sys.argv[1:]
    session = local_session("webpairs release", master=f"local[{cores}]", memory="2g")
    try:
        run(ReleaseConfig(root=root, out=out, file_rows=int(file_rows)), session)
    finally:
        session.stop()
