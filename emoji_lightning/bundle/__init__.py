"""A trained head on disk: `best_classifier.pt`, `label2id.json`, `summary.json`."""
