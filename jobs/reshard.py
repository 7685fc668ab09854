r"""shards + subset → curated shards on a cluster, an input shard per task and then an output shard per task.

spark-submit --py-files dist/webpairs.zip --properties-file jobs/conf/shuffle.conf \
        jobs/reshard.py -i s3://…/3_shards -s s3://…/subset.npy -o s3://…/6_curated

The subset is sorted, as `filter` writes it; each Python process on an executor keeps a copy of it on its own disk.
"""

import sys

from jobs.submit import submit

if __name__ == "__main__":
    sys.exit(submit("reshard"))
