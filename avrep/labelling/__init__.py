"""Labels for a corpus of sound: k-means over the features of its frames (HuBERT's targets)."""
