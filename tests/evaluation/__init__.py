"""Tests of avrep.evaluation."""
