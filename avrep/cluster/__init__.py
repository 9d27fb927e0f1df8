"""Everything that knows Ray: decode actors, the stream made of them, and passes over corpora."""
