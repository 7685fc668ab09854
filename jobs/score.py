r"""shards → scores on a cluster, a shard per task and a GPU per task.

spark-submit --py-files dist/webpairs.zip --properties-file jobs/conf/gpu.conf \
        jobs/score.py --shards s3://…/3_shards --out s3://…/4_scores --model NAME --pretrained TAG

With `--device auto`, which is the default, a task computes on the GPU that Spark gave it. The model is loaded once per Python
process, of which each executor has one. Without Spark: docs/cluster.md, torchrun and Slurm.
"""

import sys

from jobs.submit import submit

if __name__ == "__main__":
    sys.exit(submit("score"))
