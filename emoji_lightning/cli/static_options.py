"""The options of Lightning's verbs, read from source text.

Importing lightning takes seconds. The signatures and docstrings that LightningCLI turns into options can be read from
the files without importing them, so help and the check of option names come at once. A test holds this list equal to
LightningCLI's own.
"""

import ast
import importlib.util
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import docstring_parser

LINKED = ("model.labels", "model.input_dim", "model.encoder", "model.weights_sha256", "model.class_weights")
"""Options that the data decides; LightningCLI links them and takes no flag for them."""


class Option(NamedTuple):
    """An option as a user types it, without the leading dashes."""

    name: str
    type: str
    default: str | None
    help: str


class Source(NamedTuple):
    """Where a group of options is defined: prefix, module file below a package, class, method, arguments to skip."""

    prefix: str
    package: str
    file: str
    class_name: str
    method: str = "__init__"
    skip: tuple[str, ...] = ()


GROUPS = (
    Source("data.", "emoji_lightning", "data/datamodule.py", "EmojiDataModule"),
    Source("model.", "emoji_lightning", "model/classifier.py", "EmojiClassifier"),
    Source("trainer.", "lightning", "pytorch/trainer/trainer.py", "Trainer"),
    Source("checkpoint.", "lightning", "pytorch/callbacks/model_checkpoint.py", "ModelCheckpoint"),
    Source("early_stopping.", "lightning", "pytorch/callbacks/early_stopping.py", "EarlyStopping"),
    Source("evaluation.", "emoji_lightning", "cli/evaluated_run.py", "EvaluationOptions"),
)
OWN = ("export", "crossval", "sweep")
"""Verbs of `EmojiTrainer`."""
NO_OPTIONS = (
    "model",
    "train_dataloaders",
    "val_dataloaders",
    "dataloaders",
    "datamodule",
    "verbose",
    "return_predictions",
    "weights_only",
)
COMMON = (
    Option("config", "FILE", None, "Overlay of options (YAML); may be repeated, later ones win. Lists are replaced."),
    Option("print_config", "[FLAGS]", None, "Print the configuration that these options make, and stop."),
    Option("seed_everything", "bool | int", "0", "Seed of initial weights, order of batches and dropout."),
)
ALIASES = {
    "model.labels": "data.labels",  # the data decides the labels of the model
    "min-precision": "evaluation.min_precision",
    "with-audio": "evaluation.with_audio",
}
"""Other names under which options are taken."""


def options_of(verb: str, defaults: Mapping[str, Any] | None = None) -> list[Option]:
    """Return every option of a Lightning verb, its own first.

    Args:
        verb: fit, validate, test, predict or export.
        defaults: Content of the base configuration, which overrules the defaults in the signatures.
    """
    in_lightning = Source("", "lightning", "pytorch/trainer/trainer.py", "Trainer", verb, NO_OPTIONS)
    own = Source("", "emoji_lightning", "cli/trainer.py", "EmojiTrainer", verb, NO_OPTIONS)
    sources = [own if verb in OWN else in_lightning, *GROUPS]
    options = [*COMMON, *(option for source in sources for option in _read(source))]
    return [
        _with_defaults(_ckpt_path(verb) if option.name == "ckpt_path" else option, defaults or {}) for option in options
    ]


def _ckpt_path(verb: str) -> Option:
    if verb == "fit":
        return Option("ckpt_path", "best | last | FILE", None, "Resume exactly from this checkpoint of the run folder.")
    return Option("ckpt_path", "best | last | FILE", "best", "Checkpoint of the run folder, or a FILE.")


def _with_defaults(option: Option, defaults: Mapping[str, Any]) -> Option:
    value: Any = defaults
    for part in option.name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if isinstance(value, Mapping):
        value = value.get("class_path")
    default = option.default if value is None else str(value)
    return option._replace(default=None if default == "None" else default)


def expand_aliases(words: Sequence[str]) -> list[str]:
    """Return the words with options under their own names; `--with-audio` alone means true."""
    expanded = []
    for word in words:
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or name not in ALIASES:
            expanded.append(word)
        elif name == "with-audio" and not equals:
            expanded.append(f"--{ALIASES[name]}=true")
        else:
            expanded.append(f"--{ALIASES[name]}{equals}{value}")
    return expanded


def check(verb: str, words: Sequence[str], options: Sequence[Option]) -> None:
    """Exit with 2 if a word is an option that the verb does not have; options of a part of an option pass."""
    known = {option.name for option in options} | set(ALIASES)
    for word in words:
        name = word[2:].split("=")[0].rstrip("+")
        if not word.startswith("--") or name in known or _is_group(name) or _is_part(name, known):
            continue
        near = get_close_matches(name, known, n=1, cutoff=0.7)
        hint = f"; did you mean --{near[0]}?" if near else f"; see emoji-lightning {verb} --help"
        if name in LINKED:
            hint = "; it follows from the data"
        print(f"error: {verb} has no option --{name}{hint}", file=sys.stderr)
        sys.exit(2)


def _is_group(name: str) -> bool:
    return name in {source.prefix.rstrip(".") for source in GROUPS}


def _is_part(name: str, known: Iterable[str]) -> bool:
    """Tell whether this is an option of an option's value: trainer.logger.init_args.save_dir of trainer.logger."""
    group, option, *rest = [*name.split("."), "", ""]
    return bool(rest[0]) and f"{group}.{option.rstrip('+')}" in set(known)


def render_help(verb: str, description: str, options: Sequence[Option]) -> str:
    """Return the text of `VERB --help`."""
    lines = [f"usage: emoji-lightning {verb} [options]", "", description[0].upper() + description[1:] + ".", ""]
    group = None
    for option in options:
        prefix = option.name.rpartition(".")[0]
        if prefix != group:
            group = prefix
            lines += ["", f"{group} options:"] if group else ["options:"]
        default = "" if option.default is None else f" (default: {option.default})"
        lines.append(f"  --{option.name} {option.type}{default}")
        lines += textwrap.wrap(option.help, width=110, initial_indent=" " * 8, subsequent_indent=" " * 8)
    return "\n".join([*lines, "", "  --debug", "        Show the traceback of an error."])


def _read(source: Source) -> Iterator[Option]:
    spec = importlib.util.find_spec(source.package)
    if spec is None or not spec.submodule_search_locations:
        return
    tree = ast.parse((Path(spec.submodule_search_locations[0]) / source.file).read_text(encoding="utf-8"))
    owner = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == source.class_name)
    method = next(node for node in owner.body if isinstance(node, ast.FunctionDef) and node.name == source.method)
    documented = _argument_docs(owner) | _argument_docs(method)
    for argument, default in _arguments(method.args):
        name = source.prefix + argument.arg
        if argument.arg in source.skip or name in LINKED:
            continue
        kind = _plain_type(argument.annotation) if argument.annotation else "value"
        yield Option(name, kind, default, documented.get(argument.arg, ""))


def _arguments(arguments: ast.arguments) -> Iterator[tuple[ast.arg, str | None]]:
    positional = arguments.args[1:]
    padding: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults))
    defaults = [*padding, *arguments.defaults, *arguments.kw_defaults]
    for argument, default in zip([*positional, *arguments.kwonlyargs], defaults, strict=True):
        yield argument, None if default is None else ast.unparse(default)


def _argument_docs(node: ast.ClassDef | ast.FunctionDef) -> dict[str, str]:
    parsed = docstring_parser.parse(ast.get_docstring(node) or "", style=docstring_parser.DocstringStyle.GOOGLE)
    return {parameter.arg_name: _plain_text(parameter.description or "") for parameter in parsed.params}


def _plain_type(annotation: ast.expr) -> str:
    """Turn Optional[Union[str, Path]] and Literal['a', 'b'] into what a user types: str | Path, a | b."""
    match annotation:
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            parts = [_plain_type(left), _plain_type(right)]
        case ast.Subscript(value=ast.Name(id="Optional" | "Union" | "Literal"), slice=ast.Tuple(elts=elements)):
            parts = [_plain_type(element) for element in elements]
        case ast.Subscript(value=ast.Name(id="Optional" | "Union" | "Literal"), slice=element):
            parts = [_plain_type(element)]
        case ast.Constant(value=value):
            parts = [str(value)]
        case ast.Name(id=name) if name.startswith("_"):  # an alias private to lightning
            parts = ["value"]
        case _:
            parts = [ast.unparse(annotation)]
    return " | ".join(part for part in parts if part != "None")


def _plain_text(description: str) -> str:
    """Return the first paragraph without reStructuredText marks."""
    paragraph = re.split(r"\n\s*\n|\n\s*(?:[-*]|\.\.) ", description.strip())[0]
    return re.sub(r":\w+:`~?([^`<]*)(?:<[^>]*>)?`", r"\1", " ".join(paragraph.split())).replace("``", "")
