"""Encoders and heads: weights, and nothing that knows where clips come from."""
