from collections.abc import Callable

import pytest

from emoji_lightning.cli import main


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run the program, demand exit code 2 and no traceback, return the error text."""

    def run(*words: object) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit, match="2"):
            main([str(word) for word in words])
        error = capsys.readouterr().err
        first = next(line for line in error.splitlines() if not line.startswith("note: "))
        assert first.startswith(("error: ", "usage: "))  # the latter of argparse, with the error below it
        assert "Traceback" not in error
        return error

    return run
