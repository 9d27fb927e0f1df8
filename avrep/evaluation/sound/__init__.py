"""Tasks on frozen encoders of sound: a learned sum of hidden states, a small head, one protocol."""
