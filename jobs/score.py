r"""shards → scores on a cluster.

spark-submit --py-files dist/webpairs.zip --properties-file jobs/conf/gpu.conf \
        jobs/score.py --shards s3://…/3_shards --out s3://…/4_scores --model NAME --pretrained TAG
"""

import sys

from jobs.submit import submit

if __name__ == "__main__":
    sys.exit(submit("score"))
