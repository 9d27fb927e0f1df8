"""One vector for every clip of a corpus, on disk, and the search among them."""
