"""From embeddings to logits."""
