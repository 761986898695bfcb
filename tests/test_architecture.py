"""The house rules that hold between modules."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "emoji_lightning"
FLOW = [
    "errors",
    "files",
    "code_pages",
    "labels",
    "label_map",
    "manifest",
    "audio",
    "corpora",
    "embedding",
    "splits",
    "data",
    "checkpoint",
    "model",
    "evaluation",
    "stacking",
    "bundle",
    "report",
    "predictor",
    "scoring",
    "cli",
]


def part_of(module: Path) -> str:
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_parts(module: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("emoji_lightning"):
            if node.module == "emoji_lightning":
                yield from (alias.name for alias in node.names if alias.name != "__version__")
            else:
                yield (node.module or "").split(".")[1]


MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.name != "__init__.py")


def test_every_part_of_the_package_has_its_place_in_the_flow() -> None:
    assert {part_of(module) for module in MODULES} == set(FLOW)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_what_stands_before_it(module: Path) -> None:
    place = FLOW.index(part_of(module))
    later = {part for part in imported_parts(module) if FLOW.index(part) > place}
    assert not later
    if part_of(module) in ("data", "model"):
        assert not {"data", "model"} & set(imported_parts(module)) - {part_of(module)}


def test_funasr_is_imported_nowhere() -> None:
    """It is what tests and benchmarks compare with; a user needs none of its 60 packages."""
    assert not [module for module in MODULES if re.search(r"(import|from) funasr", module.read_text(encoding="utf-8"))]


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("emoji_lightning", ["torch", "lightning", "funasr", "pyarrow", "numpy"]),
        ("emoji_lightning.predictor", ["lightning", "funasr"]),
        ("emoji_lightning.data.datamodule", ["funasr"]),
        ("emoji_lightning.cli.lightning", ["funasr"]),
    ],
)
def test_importing_loads_nothing_that_is_not_needed(module: str, absent: list[str]) -> None:
    program = f"import sys, {module}; print(*({set(absent)!r} & set(sys.modules)))"
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == ""


def test_no_file_is_longer_than_three_hundred_lines() -> None:
    lengths = {
        str(module.relative_to(PACKAGE)): len(module.read_text(encoding="utf-8").splitlines()) for module in MODULES
    }
    assert not {name: length for name, length in lengths.items() if length > 300}
