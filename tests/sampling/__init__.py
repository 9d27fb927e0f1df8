"""Tests of `avrep.sampling`."""
