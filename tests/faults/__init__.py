"""What `make prove` runs: faults planted for real, and what they cost."""
