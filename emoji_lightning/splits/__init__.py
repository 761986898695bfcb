"""Balanced, group-safe splits, and what must not be in two of them."""
