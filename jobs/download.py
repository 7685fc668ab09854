r"""pool → shards on a cluster.

spark-submit --py-files dist/webpairs.zip --properties-file jobs/conf/fetch.conf \
        jobs/download.py --pool s3://…/2_pool --out s3://…/3_shards
"""

import sys

from jobs.submit import submit

if __name__ == "__main__":
    sys.exit(submit("download"))
