"""Cluster the sound of a corpus, on all nodes: `avrep label` as a Ray job.

ray job submit --working-dir . -- python ray_jobs/label.py /shared/corpus.parquet -o /shared/labels
"""

import sys

from avrep.cli import main

if __name__ == "__main__":
    main(["label", *sys.argv[1:]])
