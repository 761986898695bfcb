"""From the command line to a verb; help and wrong options are answered before torch is imported."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple, NoReturn

from emoji_lightning import __version__
from emoji_lightning.cli import static_options
from emoji_lightning.cli.configs import BASE_CONFIG
from emoji_lightning.cli.notices import quiet_lightning
from emoji_lightning.cli.verbs import classify, corpus, embed, inspect, inspect_checkpoint, score, split
from emoji_lightning.errors import EmojiLightningError


class Verb(NamedTuple):
    """A verb of the program: what it does in a line, its options, its run."""

    help: str
    add_options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], None]


OWN_VERBS = {
    "corpus": Verb("texts + TTS folders -> manifest, and a list of what is missing", corpus.add_options, corpus.run),
    "inspect": Verb("manifest -> counts, hours, faults of the audio, duplicates", inspect.add_options, inspect.run),
    "embed": Verb("audio -> embedding store; resumes, does only what is missing", embed.add_options, embed.run),
    "split": Verb("manifest -> balanced, group-safe, repeatable splits", split.add_options, split.run),
    "inspect-checkpoint": Verb(
        "any checkpoint of an MLP head -> what was understood: layers, labels, encoder, what was assumed",
        inspect_checkpoint.add_options,
        inspect_checkpoint.run,
    ),
    "classify": Verb("audio files or folders -> label, emoji, probability", classify.add_options, classify.run),
    "score": Verb(
        "speech + the emoji it was asked to express -> report with intervals, systems compared",
        score.add_options,
        score.run,
    ),
}
LIGHTNING_VERBS = {
    "fit": "train the head on a store's embeddings; without options on the synthetic demo corpus",
    "validate": "evaluate a run's checkpoint on dev",
    "test": "evaluate a run's checkpoint on test",
    "predict": "label the utterances of a manifest with a run's checkpoint",
    "crossval": "folds x seeds trained at once -> numbers with intervals, out-of-fold predictions, suspicious labels",
    "sweep": "look for the options of the model that do best over folds, several settings trained at once; resumes",
    "export": "run -> best_classifier.pt, label2id.json, summary.json",
}
USAGE_ERROR = 2


def main(args: Sequence[str] | None = None) -> None:
    """Run a verb.

    Args:
        args: The words after the program's name; by default those of the command line.

    Raises:
        SystemExit: With 0 after help, 2 after an error that the user can cure.
    """
    words = list(sys.argv[1:] if args is None else args)
    debug = "--debug" in words
    try:
        _dispatch([word for word in words if word != "--debug"])
    except EmojiLightningError as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(USAGE_ERROR)
    except BrokenPipeError:  # `emoji-lightning classify ... | head` closed our output
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        if debug:
            raise
        print(
            f"error: {error.filename or 'input or output'}: {error.strerror or error}; check the path", file=sys.stderr
        )
        sys.exit(USAGE_ERROR)
    except KeyboardInterrupt:
        print("interrupted; what was finished is kept", file=sys.stderr)
        sys.exit(130)


def _dispatch(words: Sequence[str]) -> None:
    if not words or words[0] in ("-h", "--help"):
        print(_overview())
        sys.exit(0 if words else USAGE_ERROR)
    if words[0] == "--version":
        print(f"emoji-lightning {__version__}")
        return
    verb, rest = words[0], words[1:]
    if verb in OWN_VERBS:
        _run_own(verb, rest)
    elif verb in LIGHTNING_VERBS:
        _run_lightning(verb, rest)
    else:
        _unknown_verb(verb)


def _run_own(name: str, rest: Sequence[str]) -> None:
    verb = OWN_VERBS[name]
    parser = argparse.ArgumentParser(
        prog=f"emoji-lightning {name}",
        description=verb.run.__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    verb.add_options(parser)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    verb.run(parser.parse_args(rest))


def _run_lightning(verb: str, rest: Sequence[str]) -> None:
    if "-h" in rest or "--help" in rest:
        import yaml

        defaults = yaml.safe_load(BASE_CONFIG.read_text(encoding="utf-8"))
        print(static_options.render_help(verb, LIGHTNING_VERBS[verb], static_options.options_of(verb, defaults)))
        return
    static_options.check(verb, rest, static_options.options_of(verb))
    quiet_lightning()
    from emoji_lightning.cli.lightning import run

    run(verb, rest)


def _overview() -> str:
    described = {name: verb.help for name, verb in OWN_VERBS.items()} | LIGHTNING_VERBS
    before, after = ("corpus", "inspect", "embed", "split"), ("inspect-checkpoint", "classify", "score")
    lines = [f"  {name:<20}{described[name]}" for name in (*before, *LIGHTNING_VERBS, *after)]
    return "\n".join(
        [
            "usage: emoji-lightning VERB [options]      (python train.py VERB is the same)",
            "",
            "Speech in, one emoji out: emotion2vec embeddings, an MLP head, Lightning around them.",
            "",
            "verbs:",
            *lines,
            "",
            "emoji-lightning VERB --help says the options of a verb. --debug shows the traceback of an error.",
        ]
    )


def _unknown_verb(verb: str) -> NoReturn:
    from difflib import get_close_matches

    known = [*OWN_VERBS, *LIGHTNING_VERBS]
    near = get_close_matches(verb, known, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    print(f"error: '{verb}' is not one of {known}{hint}", file=sys.stderr)
    sys.exit(USAGE_ERROR)
