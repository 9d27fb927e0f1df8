"""Tests of avrep.evaluation.action."""
