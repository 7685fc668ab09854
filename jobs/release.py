r"""scores or pool → a release on a cluster: rows of any number, sorted through a shuffle.

spark-submit --py-files dist/webpairs.zip --properties-file jobs/conf/shuffle.conf \
        jobs/release.py --root s3://… --out s3://…/release --name NAME

The driver holds 150 MB of sampled keys and the subsets of the root; an executor's task sorts and writes one file at a time.
"""

import sys

from jobs.submit import submit

if __name__ == "__main__":
    sys.exit(submit("release"))
