"""What is wrong with a source, and where."""

from collections.abc import Mapping, Sequence

from emoji_lightning.errors import join_problems

Problem = tuple[int, str]
"""Line in a file and what is wrong there; line 0 is the whole file."""


def describe_problems(problems: Mapping[str, Sequence[Problem]]) -> str:
    """Put the problems of all files into one message, by file and line, each once.

    Args:
        problems: Name of a file -> its problems.
    """
    return join_problems(
        [
            f"{file}:{line}: {text}" if line else f"{file}: {text}"
            for file, found in problems.items()
            for line, text in sorted(set(found))
        ]
    )
