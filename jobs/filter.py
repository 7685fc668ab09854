r"""scores → subset on a cluster, some metadata files to a task.

spark-submit --py-files dist/webpairs.zip --properties-file jobs/conf/shuffle.conf \
        jobs/filter.py --name clip_score --arch l14 --fraction 0.3 --metadata_dir s3://…/4_scores --save_path s3://…/subset.npy

The driver's Python holds and sorts what is kept, 3 × 16 bytes per kept pair for a while (spark.driver.memoryOverhead), and makes
the passes over one column that "the top 30 %" or a sample needs, 4 bytes per row for a score. Of more than a million files
spark.driver.maxResultSize must be raised: a task returns half a kilobyte for each.
"""

import sys

from jobs.submit import submit

if __name__ == "__main__":
    sys.exit(submit("filter"))
