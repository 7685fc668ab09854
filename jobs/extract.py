r"""WAT files → candidates on a cluster.

spark-submit --py-files dist/webpairs.zip --properties-file jobs/conf/shuffle.conf \
        jobs/extract.py --wat s3://…/wat --out s3://…/1_candidates
"""

import sys

from jobs.submit import submit

if __name__ == "__main__":
    sys.exit(submit("extract"))
