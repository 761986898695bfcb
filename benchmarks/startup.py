"""CPU time until help and errors of the command line are there, beside `import lightning`.

python benchmarks/startup.py
"""

import resource
import statistics
import subprocess
import sys

COMMANDS = {
    "emoji-lightning --help": ["train.py", "--help"],
    "emoji-lightning fit --help": ["train.py", "fit", "--help"],
    "emoji-lightning embed --help": ["train.py", "embed", "--help"],
    "emoji-lightning fit --wrong 1": ["train.py", "fit", "--wrong", "1"],
    "python -c 'import torch'": ["-c", "import torch"],
    "python -c 'import lightning'": ["-c", "import lightning"],
}
REPEATS = 5


def cpu_seconds(arguments: list[str]) -> float:
    """Run a Python program; return its CPU time, user and system."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(REPEATS):
        for name, arguments in COMMANDS.items():
            times[name].append(cpu_seconds(arguments))
    for name, seconds in times.items():
        print(f"{name:<32} {statistics.median(seconds):6.2f} s of CPU, median of {REPEATS}")


if __name__ == "__main__":
    main()
