"""The command line: `python train.py VERB` and `emoji-lightning VERB` are the same program."""

from emoji_lightning.cli.main import main

__all__ = ["main"]
