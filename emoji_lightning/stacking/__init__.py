"""Many heads trained in one process: folds, seeds and settings of one corpus, each as if it were trained alone."""
