"""How fast `read_manifest` reads and checks a million rows, and in how much memory.

python benchmarks/manifest.py [--rows N] [--rounds N] [--folder FOLDER]

Beside each format stands a bare read of the same file, which checks nothing and knows no lines: pyarrow's own reader,
and a loop over Python's csv or json module. Each read is a process of its own; memory is the largest resident set of
that process, the imports (about 0.1 GB) included.
"""

import argparse
import csv
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import perf_counter

import pyarrow as pa
import pyarrow.csv as pv
import pyarrow.json as pj
import pyarrow.parquet as pq

from emoji_lightning.manifest import read_manifest

COLUMNS = ("id", "audio", "label", "text", "speaker")
FILES = {"CSV": "m.csv", "TSV": "m.tsv", "JSONL": "m.jsonl", "Parquet": "m.parquet", "Kaldi": "kaldi/wav.scp"}
KALDI = {"wav.scp": "audio", "utt2label": "label", "text": "text", "utt2spk": "speaker"}
SENTENCE = "it is so good to see you here today and nobody said that the train would be this late, again"


def make_rows(count: int) -> Iterator[tuple[str, ...]]:
    labels = ["😂", "😭", ":fire:", "<none>"]
    words, shuffle = SENTENCE.split(), random.Random(0)
    for row in range(count):
        name, text = f"utt{row:07}", " ".join(shuffle.choices(words, k=8))
        yield name, f"wav/speaker{row % 500:03}/{name}.flac", labels[row % 4], text, f"speaker{row % 500:03}"


def write_files(folder: Path, count: int) -> None:
    (folder / "kaldi").mkdir(parents=True)
    for name, delimiter in (("m.csv", ","), ("m.tsv", "\t")):
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, delimiter=delimiter, lineterminator="\n").writerows([COLUMNS, *make_rows(count)])
    with (folder / "m.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(
            json.dumps(dict(zip(COLUMNS, row, strict=True)), ensure_ascii=False) + "\n" for row in make_rows(count)
        )
    for name, column in KALDI.items():
        place = COLUMNS.index(column)
        with (folder / "kaldi" / name).open("w", encoding="utf-8") as file:
            file.writelines(f"{row[0]} {row[place]}\n" for row in make_rows(count))
    columns = [pa.array(values) for values in zip(*make_rows(count), strict=True)]
    pq.write_table(pa.table(columns, COLUMNS), folder / "m.parquet")


def loop_csv(path: Path) -> int:
    with path.open(encoding="utf-8", newline="") as file:
        return len(list(csv.reader(file, delimiter="\t" if path.suffix == ".tsv" else ","))) - 1


def loop_json(path: Path) -> int:
    with path.open(encoding="utf-8") as file:
        return len([json.loads(line) for line in file])


def loop_kaldi(path: Path) -> int:
    files = [(path.parent / name).read_text(encoding="utf-8").splitlines() for name in KALDI]
    tables = [dict(line.split(maxsplit=1) for line in lines) for lines in files]
    return len(tables[0])


def arrow_csv(path: Path) -> int:
    parsing = pv.ParseOptions(delimiter="\t" if path.suffix == ".tsv" else ",")
    return int(pv.read_csv(path, parse_options=parsing).num_rows)


def arrow_json(path: Path) -> int:
    return int(pj.read_json(path).num_rows)


def arrow_parquet(path: Path) -> int:
    return int(pq.read_table(path).num_rows)


READERS: dict[str, dict[str, Callable[[Path], int]]] = {
    "CSV": {"pyarrow.csv": arrow_csv, "csv.reader": loop_csv},
    "TSV": {"pyarrow.csv": arrow_csv, "csv.reader": loop_csv},
    "JSONL": {"pyarrow.json": arrow_json, "json.loads": loop_json},
    "Parquet": {"pyarrow.parquet": arrow_parquet},
    "Kaldi": {"str.split into dicts": loop_kaldi},
}


def read_checked(path: Path) -> int:
    return len(read_manifest(path))


def read_once(path: Path, kind: str, reader: str) -> None:
    """Read one file and print rows, seconds and the peak memory of this process in GB."""
    read = READERS[kind].get(reader, read_checked)
    start = perf_counter()
    rows = read(path)
    seconds = perf_counter() - start
    print(rows, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)


def measure(path: Path, kind: str, reader: str, *, rows: int, rounds: int) -> tuple[float, float]:
    """Return the median seconds and the largest memory (GB) of several processes."""
    found: list[Sequence[float]] = []
    for _ in range(rounds):
        command = [sys.executable, __file__, "--once", str(path), kind, reader]
        finished = subprocess.run(command, capture_output=True, text=True, check=True)
        found.append([float(each) for each in finished.stdout.split()])
    if {int(each[0]) for each in found} != {rows}:
        raise SystemExit(f"{reader} read {found} where {rows} rows were written")
    return statistics.median(each[1] for each in found), max(each[2] for each in found)


def compare(folder: Path, *, rows: int, rounds: int) -> None:
    # Not here: a process begins with the peak of the one that starts it.
    subprocess.run([sys.executable, __file__, "--write", str(folder), "--rows", str(rows)], check=True)
    for kind, name in FILES.items():
        for reader in ("read_manifest", *READERS[kind]):
            seconds, memory = measure(folder / name, kind, reader, rows=rows, rounds=rounds)
            print(f"{kind:8} {reader:22} {seconds:6.2f} s {memory:5.2f} GB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the files are made; default a temporary folder")
    parser.add_argument("--once", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write:
        write_files(options.write, options.rows)
        return
    if options.once:
        read_once(Path(options.once[0]), *options.once[1:])
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        compare(Path(folder) / "files", rows=options.rows, rounds=options.rounds)


if __name__ == "__main__":
    main()
