"""Probe a corpus on the cluster's head: `avrep index` as a Ray job.

ray job submit --working-dir . -- python ray_jobs/index.py /shared/videos -o /shared/corpus.parquet
"""

import sys

from avrep.cli import main

if __name__ == "__main__":
    main(["index", *sys.argv[1:]])
