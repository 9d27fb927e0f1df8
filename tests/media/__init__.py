"""Tests of media: files, shards, decoders, the synthetic corpus."""
