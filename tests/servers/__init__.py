"""Real servers on loopback for the tests of storage: one with planted faults, one that speaks S3."""
