"""Action recognition learnt from labels: a whole encoder fine-tuned, or an attentive probe on it."""
