"""Speech in, one emoji out: emotion2vec embeddings, an MLP head and the Lightning framework around them."""

__version__ = "0.1.0"
