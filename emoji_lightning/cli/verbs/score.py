"""`score`: speech and the emoji that it was asked to express -> report with intervals."""

import argparse
import json
import sys
from pathlib import Path

from emoji_lightning.cli.verbs.embed import LONG_HELP
from emoji_lightning.cli.verbs.options import DEVICE_HELP, add_table_options, count, positive, read_mappings

MANIFEST_HELP = (
    "table of utterances: audio, label (the emoji asked for; 'intended' or 'emoji' will do) and, as they exist, system "
    "and text_id: CSV, TSV, JSONL, Parquet or a folder"
)
GROUP_HELP = (
    "column of the groups that the bootstrap draws; by default text_id, else text, else source_id, else each utterance"
)
UNKNOWN_HELP = "what becomes of utterances that ask for a label outside the checkpoint's: error, or drop and count them"
REFERENCE_HELP = (
    "manifest of real speech with labels, scored beside the systems; read by its own folder and column names"
)

LABELS_HELP = "YAML or JSON: a map of the labels of both manifests to the checkpoint's (`joy: 😊`, `calm: null`)"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `score`."""
    parser.add_argument("manifest", metavar="MANIFEST", help=MANIFEST_HELP)
    parser.add_argument("--checkpoint", metavar="PATH", required=True, help="best_classifier.pt or its folder")
    parser.add_argument(
        "--output_dir", metavar="DIR", default="runs/score", help="gets score.json, utterances.csv and report.html"
    )
    parser.add_argument("--store", metavar="DIR", help="folder of embeddings; by default OUTPUT_DIR/store")
    parser.add_argument(
        "--compare", action="store_true", help="compare every two systems on the texts that they share, Holm-corrected"
    )
    parser.add_argument("--group", metavar="COLUMN", help=GROUP_HELP)
    parser.add_argument("--reference", metavar="MANIFEST", help=REFERENCE_HELP)
    parser.add_argument("--unknown", metavar="error|drop", default="error", help=UNKNOWN_HELP)
    parser.add_argument(
        "--encoder", help="encoder's name or FOLDER; by default what the checkpoint records. Other weights are refused"
    )
    parser.add_argument("--device", default="auto", help=DEVICE_HELP)
    parser.add_argument("--long", default="error", metavar="error|truncate|chunk", help=LONG_HELP)
    parser.add_argument(
        "--max-seconds", metavar="S", type=float, default=120.0, help="audio above this is long (seconds)"
    )
    parser.add_argument(
        "--max-failed",
        metavar="N",
        type=count,
        default=0,
        help="rows whose audio may be missing or unusable, else the verb fails, after it has written everything; texts "
        "that a system has no row for are counted as missing, too, and no failure",
    )
    parser.add_argument(
        "--resamples", metavar="N", type=positive, default=10_000, help="resamples of the bootstrap, 100 or more"
    )
    parser.add_argument("--seed", metavar="N", type=count, default=0, help="of the resamples")
    parser.add_argument(
        "--with-audio", action="store_true", help="put the audio of the errors that the report shows into it"
    )
    parser.add_argument("--json", action="store_true", help="print score.json instead of tables")
    add_table_options(parser, labels=False)
    parser.add_argument("--labels", metavar="FILE", help=LABELS_HELP)


def run(options: argparse.Namespace) -> None:
    """Score how well speech expresses the emoji that it was asked for; embeds only what the store lacks."""
    from emoji_lightning.embedding.long_audio import LongAudio
    from emoji_lightning.evaluation.resampling import Resampling
    from emoji_lightning.scoring.scoring import ScoreOptions, run_score

    columns, _ = read_mappings(options)
    folder = Path(options.output_dir)
    wanted = ScoreOptions(
        output_dir=folder,
        store=Path(options.store) if options.store else None,
        compare=options.compare,
        reference=options.reference,
        group=options.group,
        unknown=options.unknown,
        encoder=options.encoder,
        device=options.device,
        long_audio=LongAudio(options.long, options.max_seconds),
        resampling=Resampling(num_resamples=options.resamples, seed=options.seed),
        columns=columns,
        labels=options.labels,
        audio_root=options.audio_root,
        with_audio=options.with_audio,
        progress=True,
    )
    score = run_score(options.manifest, options.checkpoint, wanted)
    for note in score.notes:
        print(f"note: {note}", file=sys.stderr)
    if options.json:
        print(json.dumps(score.to_dict(), ensure_ascii=False, allow_nan=False, indent=2))
    else:
        from emoji_lightning.cli.score_tables import print_score

        print_score(score, folder)
    sys.stdout.flush()  # the numbers stand before the error
    score.check_failed(options.max_failed)
