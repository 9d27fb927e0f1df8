"""Tests of avrep.pipeline."""
