"""`split`: manifest -> balanced, group-safe, repeatable splits."""

import argparse
from pathlib import Path

from emoji_lightning.cli.verbs.options import AUDIO_ROOT_HELP, path_or_none


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `split`."""
    parser.add_argument("manifest", metavar="MANIFEST", help="table of utterances with a label column")
    parser.add_argument("--output", metavar="FILE", required=True, help="manifest to write, with a column `split`")
    parser.add_argument("--dev", metavar="N", type=float, default=0.1, help="utterances in dev, or a share below 1")
    parser.add_argument("--test", metavar="N", type=float, default=0.1, help="utterances in test, or a share below 1")
    parser.add_argument("--group", metavar="COLUMN", help="column whose values may not appear in two splits: speaker")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="the same seed gives the same split")
    parser.add_argument("--labels", metavar="FILE", help="label2id.json or a list; by default as the manifest's labels")
    parser.add_argument("--audio-root", metavar="DIR", help=AUDIO_ROOT_HELP)


def run(options: argparse.Namespace) -> None:
    """Write the manifest with balanced, group-safe, repeatable splits, and a record of what was checked."""
    from emoji_lightning.labels import LabelSet
    from emoji_lightning.manifest import read_manifest
    from emoji_lightning.splits.split_manifest import render_record, split_manifest

    manifest = read_manifest(Path(options.manifest), audio_root=path_or_none(options.audio_root))
    record = split_manifest(
        manifest,
        LabelSet.from_file(Path(options.labels)) if options.labels else None,
        output=Path(options.output),
        dev=options.dev,
        test=options.test,
        group=options.group,
        seed=options.seed,
    )
    render_record(record)
