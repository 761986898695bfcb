"""`inspect`: what a manifest and its audio hold."""

import argparse
import json
import sys

from emoji_lightning.cli.verbs.options import add_table_options, count, read_table


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `inspect`."""
    parser.add_argument(
        "manifest", metavar="MANIFEST", help="table of utterances: CSV, TSV, JSONL, Parquet or a folder"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document, with every utterance listed")
    parser.add_argument("--no-audio", action="store_true", help="look at the table only")
    parser.add_argument(
        "--max-failed", metavar="N", type=count, default=0, help="utterances whose audio may fail, else the verb does"
    )
    add_table_options(parser)


def run(options: argparse.Namespace) -> None:
    """Count what a manifest holds, measure its audio, and find duplicates; nothing is written."""
    from emoji_lightning.corpora.inspection import inspect_manifest
    from emoji_lightning.errors import AudioError

    manifest, label_set = read_table(options, options.manifest)
    inspection = inspect_manifest(manifest, label_set, look_at_audio=not options.no_audio, progress=True)
    if options.json:
        print(json.dumps(inspection.to_json(), ensure_ascii=False, allow_nan=False, indent=2))
    else:
        from emoji_lightning.cli.inspection_report import print_inspection

        print_inspection(inspection)
    sys.stdout.flush()  # the report stands before the error
    if inspection.num_failed > options.max_failed:
        raise AudioError(_describe_failed(inspection.num_failed, inspection.num_utterances, inspection.audio is None))


def _describe_failed(num_failed: int, num_utterances: int, none_is_there: bool) -> str:
    if none_is_there:
        return (
            f"none of the audio files of {num_utterances} utterances is there; name the folder that holds them with "
            "--audio-root, or look at the table only with --no-audio"
        )
    return f"the audio of {num_failed} of {num_utterances} utterances cannot be used; --max-failed N allows some"
