"""The evaluators on real recordings, laid out as the data sets that they read."""
