"""Write tar shards coded for training, on all nodes: `avrep pack` as a Ray job.

ray job submit --working-dir . -- python ray_jobs/pack.py /shared/corpus.parquet -o /shared/packed
"""

import sys

from avrep.cli import main

if __name__ == "__main__":
    main(["pack", *sys.argv[1:]])
