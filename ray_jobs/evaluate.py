"""Measure a run on the cluster: `avrep evaluate` as a Ray job.

ray job submit --working-dir . -- python ray_jobs/evaluate.py /shared/runs/first
"""

import sys

from avrep.cli import main

if __name__ == "__main__":
    main(["evaluate", *sys.argv[1:]])
