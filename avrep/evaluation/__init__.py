"""Protocols that measure frozen features: linear probe, kNN, retrieval, with intervals."""
