"""Batched augmentation on the device: one draw of parameters per clip, the same for all its frames."""
