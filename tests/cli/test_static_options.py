"""The options that help lists without importing Lightning are those that LightningCLI takes."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from emoji_lightning.cli.main import LIGHTNING_VERBS, main
from emoji_lightning.cli.static_options import GROUPS, LINKED, check, options_of


@pytest.fixture(scope="module")
def lightning_options() -> dict[str, set[str]]:
    """Every verb's options as LightningCLI's own parsers have them."""
    from emoji_lightning.cli.lightning import EmojiCLI

    class ParsersBuilt(Exception):  # noqa: N818
        """Stops the program before it parses anything."""

    parsers: dict[str, Any] = {}

    class OnlyParsers(EmojiCLI):
        def parse_arguments(self, parser: object, args: object) -> None:
            parsers.update(self._subcommand_parsers)
            raise ParsersBuilt

    for verb in LIGHTNING_VERBS:
        with pytest.raises(ParsersBuilt, match=r"^$"):
            OnlyParsers([verb], Path())
    groups = {source.prefix.rstrip(".") for source in GROUPS}
    return {
        verb: {
            action.dest
            for action in parser._actions
            if action.dest not in {"help", *groups, *LINKED} and not action.dest.endswith(".help")
        }
        for verb, parser in parsers.items()
    }


@pytest.mark.parametrize("verb", LIGHTNING_VERBS)
def test_the_listed_options_are_those_of_lightning_cli(verb: str, lightning_options: dict[str, set[str]]) -> None:
    assert {option.name for option in options_of(verb)} == lightning_options[verb]


@pytest.mark.parametrize("verb", LIGHTNING_VERBS)
def test_help_says_every_option_of_ours_with_a_sentence(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    main([verb, "--help"])
    text = capsys.readouterr().out
    for option in options_of(verb):
        assert f"--{option.name} " in text
        if option.name.startswith(("data.", "model.")):
            assert option.help.endswith(".")


def test_help_shows_the_defaults_of_the_base_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    main(["fit", "--help"])
    text = capsys.readouterr().out
    assert "--trainer.default_root_dir value (default: runs/default)" in text
    assert "--early_stopping.monitor str (default: dev/macro_f1)" in text


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("--data.manifst", r"fit has no option --data\.manifst; did you mean --data\.manifest\?"),
        ("--nonsense=1", r"fit has no option --nonsense; see emoji-lightning fit --help"),
        ("--model.input_dim", r"fit has no option --model\.input_dim; it follows from the data"),
    ],
)
def test_a_wrong_option_is_named_with_a_suggestion(word: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["fit", word, "x"])
    assert re.search(message, capsys.readouterr().err)


@pytest.mark.parametrize(
    "word", ["--trainer.logger.init_args.save_dir", "--trainer.callbacks+=x", "--data.labels+", "--model", "--config"]
)
def test_parts_of_options_and_groups_pass(word: str) -> None:
    check("fit", [word, "x"], options_of("fit"))


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["--help"], 0),
        (["--version"], 0),
        (["fit", "--help"], 0),
        (["export", "--help"], 0),
        (["crossval", "--help"], 0),
        (["sweep", "--help"], 0),
        (["embed", "--help"], 0),
        (["classify", "--help"], 0),
        (["fot"], 2),
        (["fit", "--nonsense"], 2),
        (["embed", "--nonsense"], 2),
    ],
)
def test_help_and_wrong_options_import_nothing_heavy(words: list[str], status: int) -> None:
    program = (
        "import sys\n"
        "from emoji_lightning.cli import main\n"
        "try:\n"
        f"    main({words!r})\n"
        "except SystemExit as end:\n"
        f"    assert end.code in (None, {status}), end.code\n"
        "else:\n"
        f"    assert {status} == 0\n"
        "heavy = {'torch', 'lightning', 'funasr', 'pyarrow', 'sklearn', 'numpy', 'soundfile'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr


def test_an_unknown_verb_gets_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["fits"])
    assert "'fits' is not one of" in (message := capsys.readouterr().err)
    assert "did you mean 'fit'?" in message
