"""A head in a file, in whatever layout: what is in it, and the chain of layers that it is."""
