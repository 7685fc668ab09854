r"""Metadata → which row repeats which, on a cluster: each metadata file is a task, then each cluster of embeddings.

spark-submit --py-files dist/webpairs.zip --properties-file jobs/conf/shuffle.conf \
        jobs/dedup.py --metadata s3://…/4_scores --out s3://…/duplicates --memory-gb 4

`--memory-gb` is for one task, and for the driver, which holds 24 bytes per row of the pool. Embeddings lie in --out meanwhile,
each at most twice.
"""

import sys

from jobs.submit import submit

if __name__ == "__main__":
    sys.exit(submit("dedup"))
