"""SUPERB (arXiv 2105.01051): ten tasks of speech on one frozen encoder, a file for each."""
