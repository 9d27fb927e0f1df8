"""avrep beside its peers: the same clips, the same cores, in turns; `python -m benchmarks --help`."""
