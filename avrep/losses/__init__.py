"""Losses as pure functions of tensors, and the gather that gives them the other ranks' keys."""
