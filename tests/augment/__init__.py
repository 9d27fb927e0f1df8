"""Tests of `avrep.augment`."""
