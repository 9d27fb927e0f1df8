"""Tests of avrep.evaluation.superb."""
