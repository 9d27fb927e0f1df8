"""Pretrain on the cluster: `avrep train` as a Ray job.

ray job submit --working-dir . -- python ray_jobs/pretrain.py configs/cvrl_k400.yaml -o /shared/runs/first --set train.num_workers=8 --set train.device=cuda
"""

import sys

from avrep.cli import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
