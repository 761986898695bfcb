"""`inspect-checkpoint`: what this program understands of a checkpoint."""

import argparse
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emoji_lightning.checkpoint.stored_head import StoredHead


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `inspect-checkpoint`."""
    parser.add_argument("file", metavar="FILE", help="checkpoint of an MLP head, in any layout, or its folder")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> None:
    """Print layers, labels, encoder, size and digest of a checkpoint, and what was assumed to read it."""
    from emoji_lightning.checkpoint.stored_head import read_head

    facts = describe(read_head(options.file))
    if options.json:
        print(json.dumps(facts, ensure_ascii=False, indent=2))
        return
    for name, value in facts.items():
        if isinstance(value, dict):
            print(f"{name}:")
            print(*(f"  {key}: {each}" for key, each in value.items()), sep="\n")
        elif value not in (None, []):
            print(f"{name}: {', '.join(value) if isinstance(value, list) else value}")


def describe(head: "StoredHead") -> dict[str, Any]:
    """Return what was understood of a checkpoint, as plain data."""
    source = head.source
    assert source is not None
    content = source.content
    keys = source.chain.keys
    tensors = {keys[name]: tensor for name, tensor in head.state_dict.items() if name in keys}
    return {
        "file": str(content.file),
        "size": f"{content.num_bytes:,} bytes",
        "sha256": content.sha256,
        "container": "safetensors" if content.is_safetensors else "torch.save (zip)",
        "weights at": ".".join(map(str, source.state)) or "the top",
        "chain": head.architecture.describe(),
        "layers": {key: " x ".join(map(str, tensor.shape)) or "1" for key, tensor in tensors.items()},
        "parameters": f"{sum(tensor.numel() for tensor in head.state_dict.values()):,}",
        "labels": dict(enumerate(head.label_set)),
        "encoder": head.encoder or "not named; classify needs --encoder",
        "encoder weights": head.weights_sha256,
        "activation": head.architecture.activation,
        "dropout": head.dropout,
        "standardisation": "applied before the first layer" if head.standardization else "none",
        "temperature": head.temperature,
        "where from": dict(source.origins),
        "ignored": list(source.chain.ignored),
    }
