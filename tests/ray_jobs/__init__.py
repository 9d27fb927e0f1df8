"""Proves that the jobs run as jobs."""
