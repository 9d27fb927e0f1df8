"""Media: catalogues and shards of files, decoders, and a synthetic corpus with known truth."""
