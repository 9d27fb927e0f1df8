"""Which instants of an item become clips: pure functions of a length, a config and a generator."""
