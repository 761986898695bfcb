"""Splits, datasets and the data module."""
