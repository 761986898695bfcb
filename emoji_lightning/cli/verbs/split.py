"""`split`: manifest -> balanced, group-safe, repeatable splits."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from emoji_lightning.cli.verbs.options import add_table_options, positive, read_mappings, read_table

if TYPE_CHECKING:
    from emoji_lightning.splits.options import AuditOptions

GROUP_HELP = (
    "column whose values may not appear in two splits: speaker, text, source_id ...; several times for several columns "
    "at once; `audio` keeps the same bytes together, `near_duplicate` nearly the same embeddings (with --store)"
)
ALLOW_HELP = "a leak that is accepted: text, audio, near_duplicate or a --group column; may be given several times"
UPDATE_HELP = (
    "keep the split that each utterance (by id) has in --output, and divide what is new; sizes, groups, "
    "seed, --column, --labels and --allow that are not given are those of the earlier run"
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `split`."""
    parser.add_argument("manifest", metavar="MANIFEST", help="table of utterances with a label column")
    parser.add_argument("--output", metavar="FILE", help="manifest to write, with a column `split`")
    parser.add_argument(
        "--dev", metavar="N", type=float, help="utterances in dev, or a share below 1; 0.1 unless it is given"
    )
    parser.add_argument(
        "--test", metavar="N", type=float, help="utterances in test, or a share below 1; 0.1 unless it is given"
    )
    parser.add_argument(
        "--folds", metavar="K", type=positive, help="instead of --dev and --test: K folds, in a column `fold`"
    )
    parser.add_argument("--group", metavar="COLUMN", action="append", help=GROUP_HELP)
    parser.add_argument(
        "--seed", metavar="N", type=int, help="the same seed gives the same split; 0 unless it is given"
    )
    parser.add_argument("--update", action="store_true", help=UPDATE_HELP)
    parser.add_argument("--check", action="store_true", help="only look for leaks in the splits that MANIFEST has")
    parser.add_argument("--store", metavar="DIR", help="embeddings of the utterances, to find near duplicates")
    parser.add_argument(
        "--similarity",
        metavar="COSINE",
        type=float,
        help="least cosine of standardised embeddings of near duplicates; 0.98 unless it is given",
    )
    parser.add_argument("--allow", metavar="LEAK", action="append", default=[], help=ALLOW_HELP)
    add_table_options(parser)


def run(options: argparse.Namespace) -> None:
    """Write the manifest with balanced, group-safe, repeatable splits, and a record of what was checked."""
    from emoji_lightning.splits.earlier import read_options
    from emoji_lightning.splits.options import Reading, SplitOptions
    from emoji_lightning.splits.report import render_record
    from emoji_lightning.splits.split_manifest import check_splits, split_manifest

    _check(options)
    if options.check:
        manifest, label_set = read_table(options, options.manifest)
        render_record(check_splits(manifest, label_set, group=options.group, audit=_audit_options(options)))
        return
    output = Path(options.output)
    grows = bool(options.update and output.exists())
    if options.update and not grows:
        print(f"no earlier split at {output}: split anew")
    remembered = read_options(output) if grows else {}
    mappings = read_mappings(options, remembered)
    manifest, label_set = read_table(options, options.manifest, mappings=mappings)
    options.allow = options.allow or remembered.get("allow", [])
    record = split_manifest(
        manifest,
        label_set,
        SplitOptions.of(_given(options), remembered),
        output=output,
        audit=_audit_options(options),
        update=grows,
        reading=Reading(*mappings, files=[Path(options.labels)] if options.labels else []),
    )
    render_record(record)


def _check(options: argparse.Namespace) -> None:
    """Raise SplitError for options that contradict each other."""
    from emoji_lightning.errors import SplitError

    if options.check and (options.output or options.update):
        raise SplitError("--check writes nothing; leave out --output and --update")
    given = [name for name in ("dev", "test", "folds", "seed") if getattr(options, name) is not None]
    if options.check and given:
        raise SplitError(f"--check looks at splits that are there; leave out --{given[0]}")
    if not options.check and not options.output:
        raise SplitError("--output is missing; name the manifest to write, or give --check")
    if options.folds and (options.dev is not None or options.test is not None):
        raise SplitError("--folds takes the place of --dev and --test; give one or the other")


def _given(options: argparse.Namespace) -> dict[str, object]:
    given = {name: getattr(options, name) for name in ("dev", "test", "folds", "group", "seed")}
    if options.dev is not None or options.test is not None:
        given["folds"] = 0
    return given


def _audit_options(options: argparse.Namespace) -> "AuditOptions":
    from emoji_lightning.splits.options import AuditOptions

    given = {"similarity": options.similarity} if options.similarity is not None else {}
    return AuditOptions(store=options.store, allow=options.allow, **given)
