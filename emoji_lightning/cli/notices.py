"""What Lightning prints and warns of, less what no user can act on."""

import logging
import os
import warnings


def quiet_lightning() -> None:
    """Keep what a user can act on: device notices, advertisements and other libraries' deprecations are not that."""
    os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")  # three with lightning 2.6.6, jsonargparse 4.53
    for logger in ("pytorch.utilities.rank_zero", "fabric.utilities.rank_zero", "fabric.utilities.seed"):
        logging.getLogger(f"lightning.{logger}").setLevel(logging.WARNING)
    for message in (
        ".*treespec, LeafSpec.*",  # lightning 2.6.6 with torch 2.13
        ".*does not have many workers.*",  # embeddings are in memory: workers would only copy them
        ".*Your `IterableDataset` has `__len__` defined.*",  # it is right with workers, too
        ".*smaller than the logging interval.*",
        r".*module\(s\) in eval mode at the start.*",  # batch norms of a fine-tuned head keep their statistics
        ".*Couldn't infer the batch indices.*",  # embed: a window of utterances has no indices
        ".*Checkpoint directory .* exists and is not empty.*",
    ):
        warnings.filterwarnings("ignore", message=message)
