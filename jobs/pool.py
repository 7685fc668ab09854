r"""candidates → pool on a cluster.

spark-submit --py-files dist/webpairs.zip --properties-file jobs/conf/shuffle.conf \
        jobs/pool.py --candidates s3://…/1_candidates --out s3://…/2_pool
"""

import sys

from jobs.submit import submit

if __name__ == "__main__":
    sys.exit(submit("pool"))
