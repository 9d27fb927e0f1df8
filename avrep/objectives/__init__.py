"""Self-supervised objectives: one contract, one file a method."""
