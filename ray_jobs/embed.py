"""A vector for every clip of a corpus, on all nodes: `avrep embed` as a Ray job.

ray job submit --working-dir . -- python ray_jobs/embed.py /shared/runs/first /shared/corpus.parquet -o /shared/features --workers 8 --device cuda
"""

import sys

from avrep.cli import main

if __name__ == "__main__":
    main(["embed", *sys.argv[1:]])
