"""`corpus`: texts and the folders of TTS systems -> a manifest of utterances."""

import argparse
from pathlib import Path

from emoji_lightning.cli.verbs.options import add_table_options, read_table

AUDIO_HELP = (
    "folder with what a TTS system voiced: files named by the ids of the texts (ID.wav, label/ID.wav), or a "
    "metadata.csv with id,audio in it; give it once per system, the preferred one first. The folder's name is the "
    "system's, unless NAME= says another"
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `corpus`."""
    parser.add_argument(
        "texts", metavar="TEXTS", help="table with the columns id, text and label: CSV, TSV, JSONL or Parquet"
    )
    parser.add_argument("--audio", metavar="[NAME=]DIR", action="append", required=True, help=AUDIO_HELP)
    parser.add_argument(
        "--output",
        metavar="FILE",
        required=True,
        help="manifest to write; its record FILE.json and the list .dropped.csv come beside it",
    )
    parser.add_argument(
        "--keep",
        metavar="first|all",
        default="first",
        help="first: one utterance per text, of the first system that has it; all: each one, with the id TEXT@SYSTEM",
    )
    add_table_options(parser, audio_root=False)


def run(options: argparse.Namespace) -> None:
    """Join texts with their TTS audio: drop what is missing or cannot be decoded, list it, and write the manifest.

    Run it again when more audio has arrived.
    """
    from emoji_lightning.corpora.systems import parse_systems
    from emoji_lightning.corpora.voiced import voice_texts
    from emoji_lightning.corpora.voiced_record import describe_changes, read_last, render_record

    output = Path(options.output)
    systems = parse_systems(options.audio)
    texts, label_set = read_table(options, options.texts)
    if label_set is not None:
        texts.encode_labels(label_set)
    last = read_last(output)
    record = voice_texts(texts, systems, output=output, keep=options.keep, progress=True)
    render_record(record, output, describe_changes(last, read_last(output) or {}, output.name))
