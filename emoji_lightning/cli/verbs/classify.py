"""`classify`: audio files or folders -> label, emoji, probability."""

import argparse
import json
import sys

from emoji_lightning.cli.verbs.options import DEVICE_HELP, count


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `classify`."""
    parser.add_argument("audio", metavar="AUDIO", nargs="+", help="audio files, or folders of them")
    parser.add_argument("--checkpoint", metavar="PATH", required=True, help="best_classifier.pt or its folder")
    parser.add_argument(
        "--encoder", help="encoder's name or FOLDER; by default what the checkpoint records. Other weights are refused"
    )
    parser.add_argument("--device", default="auto", help=DEVICE_HELP)
    parser.add_argument("--top", metavar="N", type=int, default=1, help="how many labels to print, likeliest first")
    parser.add_argument("--json", action="store_true", help="print one JSON object a file")
    parser.add_argument(
        "--max-failed", metavar="N", type=count, default=0, help="files that may fail before the verb fails"
    )


def run(options: argparse.Namespace) -> None:
    """Print label, emoji and probability of every file."""
    from emoji_lightning.errors import AudioError, ConfigError, join_problems
    from emoji_lightning.labels import ascii_alias
    from emoji_lightning.predictor import Predictor, find_audio

    if options.top < 1:
        raise ConfigError(f"--top is {options.top}; expected at least 1 label")
    files = list(find_audio(options.audio))
    predictor = Predictor.load(options.checkpoint, encoder=options.encoder, device=options.device)
    failed = []
    for file in files:
        try:
            top = predictor.classify(file).probabilities[: options.top]
        except AudioError as error:
            failed.append(str(error))
            continue
        if options.json:
            answers = [{"label": label, "alias": ascii_alias(label), "probability": p} for label, p in top]
            print(json.dumps({"audio": str(file)} | answers[0] | {"top": answers}, ensure_ascii=False), flush=True)
        else:
            print(f"{file}\t" + "\t".join(f"{_spell(label)} {p:.3f}" for label, p in top), flush=True)
    if len(failed) > options.max_failed:
        raise AudioError(
            f"{join_problems(failed)}\n{len(failed)} of {len(files)} files failed; --max-failed N allows some"
        )
    for problem in failed:
        print(f"warning: {problem}", file=sys.stderr)


def _spell(label: str) -> str:
    """Return an emoji with its name, for terminals that cannot draw it; a class name as it is."""
    from emoji_lightning.labels import ascii_alias

    return label if label.isascii() else f"{label} {ascii_alias(label)}"
