"""Self-supervised video and audio encoders from large corpora.

Importing this package loads nothing but itself; each part loads what it needs when it is imported.
"""

__version__ = "0.1.0"
