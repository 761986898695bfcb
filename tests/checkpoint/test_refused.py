"""What is no head, or is ambiguous, is refused with the place, what was found, what was expected, and the cure."""

import json
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from broken_files import (
    Write,
    beside,
    beside_bytes,
    changed,
    fc_state,
    good,
    having,
    saved,
    state_dict,
    weights,
)

from emoji_lightning.checkpoint.content import load_content
from emoji_lightning.checkpoint.stored_head import read_head
from emoji_lightning.checkpoint.tensors import check_tensors
from emoji_lightning.errors import CheckpointError, LabelError

Cases = dict[str, tuple[Write, str]]


def set_to(name: str, value: float) -> Write:
    return weights(lambda state: state[name].view(-1)[3:4].fill_(value))


BATCH_NORM = {"bn.running_mean": torch.zeros(5), "bn.running_var": torch.ones(5)}
WEIGHTS: Cases = {
    "NaN": (set_to("net.3.weight", float("nan")), r"net.3.weight \(5, 5\) holds NaN.*take an earlier checkpoint"),
    "infinity": (set_to("net.0.bias", float("inf")), r"net.0.bias \(5,\) holds NaN, infinity"),
    "beyond float32": (
        weights(lambda state: state.update({"net.0.bias": torch.full((5,), 1e300, dtype=torch.float64)})),
        "net.0.bias .* numbers beyond float32",
    ),
    "whole numbers": (
        weights(lambda state: state.update({"net.3.weight": torch.ones(5, 5, dtype=torch.int8)})),
        "net.3.weight .* holds torch.int8; expected floating-point weights; dequantise",
    ),
    "complex": (
        weights(lambda state: state.update({"net.3.weight": torch.ones(5, 5, dtype=torch.complex64)})),
        "holds torch.complex64; expected floating-point",
    ),
    "empty": (weights(lambda state: state.update({"net.3.weight": torch.ones(5, 0)})), "is empty; expected weights"),
    "a number for a tensor": (
        weights(lambda state: state.update({"net.3.bias": 0.5})),
        "net.3.bias is a float; expected a tensor; save model.state_dict",
    ),
    "a negative variance": (
        state_dict(
            ("fc1.weight", (5, 8)), ("bn1.running_mean", (5,)), ("bn1.running_var", (5,)), ("fc2.weight", (3, 5))
        ),
        "bn1.running_var .* holds a variance below 0",
    ),
    "transposed": (
        weights(lambda state: state.update({"net.6.weight": state["net.6.weight"].T.contiguous()})),
        r"net.6 \(weight \(5, 3\), bias \(3,\)\) is transposed; expected \(outputs, inputs\) .* save weight.T",
    ),
    "transposed, no bias": (
        state_dict(("fc1.weight", (5, 8)), ("fc2.weight", (5, 5)), ("fc3.weight", (5, 3))),
        r"fc3 \(weight \(5, 3\)\) is transposed; expected \(outputs, inputs\) as torch keeps it, .* save weight.T",
    ),
    "two transposed, no bias": (
        state_dict(("fc1.weight", (5, 8)), ("fc2.weight", (5, 6)), ("fc3.weight", (6, 3))),
        r"fc2 \(weight \(5, 6\)\) and fc3 \(weight \(6, 3\)\) are transposed; expected \(outputs, inputs\)",
    ),
    "a gap behind biases": (
        state_dict(
            ("fc1.weight", (5, 8)),
            ("fc1.bias", (5,)),
            ("fc2.weight", (6, 3)),
            ("fc2.bias", (6,)),
            ("fc3.weight", (3, 6)),
        ),
        "no chain: fc1 8 -> 5, fc2 3 -> 6, fc3 6 -> 3; no order of them fits",
    ),
    "a bias of another size": (
        weights(lambda state: state.update({"net.3.bias": torch.ones(4)})),
        r"net.3 \(weight \(5, 5\), bias \(4,\)\) is no Linear layer, LayerNorm or BatchNorm",
    ),
    "one layer": (
        state_dict(("fc.weight", (3, 8)), ("fc.bias", (3,))),
        r"1 Linear layers \(fc 8 -> 3\); expected 2 to 5",
    ),
    "six layers": (
        state_dict(*((f"fc{number}.weight", (8, 8)) for number in range(6))),
        r"6 Linear layers \(fc0 8 -> 8, .* fc5 8 -> 8\); expected 2 to 5; of a larger model",
    ),
    "a gap": (
        state_dict(("fc1.weight", (5, 8)), ("fc2.weight", (3, 6))),
        "no chain: fc1 8 -> 5, fc2 6 -> 3; no order of them fits; expected each to take",
    ),
    "a convolution": (
        weights(lambda state: state.update({"conv.weight": torch.ones(5, 5, 3)})),
        r"conv \(weight \(5, 5, 3\)\) is no Linear layer, LayerNorm or BatchNorm",
    ),
    "a parameter of its own": (
        weights(lambda state: state.update({"alpha": torch.ones(5)})),
        r"alpha \(5,\) is no part of a Linear layer, LayerNorm or BatchNorm; expected a chain of these: another",
    ),
    "a norm without bias": (
        state_dict(("fc1.weight", (5, 8)), ("ln1.weight", (5,)), ("fc2.weight", (3, 5))),
        r"ln1 \(weight \(5,\)\) is no Linear layer, LayerNorm or BatchNorm",
    ),
    "a count that is no number": (
        weights(lambda state: state.update({"bn.num_batches_tracked": torch.ones(2), **BATCH_NORM})),
        r"bn \(num_batches_tracked \(2,\), .* is no Linear layer, LayerNorm or BatchNorm",
    ),
    "a norm that fits nowhere": (
        state_dict(("fc1.weight", (5, 8)), ("ln1.weight", (4,)), ("ln1.bias", (4,)), ("fc2.weight", (3, 5))),
        r"where ln1 \(4\) belongs cannot be told; chain: fc1 8 -> 5, fc2 5 -> 3; expected each norm directly behind",
    ),
    "gate, proj, out": (
        saved(
            {
                "model_state_dict": {
                    f"{n}.weight": torch.ones(3 if n == "out" else 5, 5) for n in ("gate", "proj", "out")
                },
                "optimizer_state_dict": {"state": {}},
                "epoch": 3,
            }
        ),
        "gate and proj are a gated layer, .*; expected Linear layers that follow each other",
    ),
    "attention": (
        state_dict(("net.0.weight", (5, 8)), ("attention.weight", (5, 5)), ("net.3.weight", (3, 5))),
        "attention.weight is by its name no layer of a chain; .* rename it",
    ),
    "pre_net, post_net": (
        saved(OrderedDict({"pre_net.weight": torch.ones(5, 8), "post_net.weight": torch.ones(3, 5)})),
        "pre_net and post_net are emotion2vec's frame head, which takes a mean over frames",
    ),
    "s3prl": (
        saved({"Optimizer": {}, "Featurizer": {"weights": torch.ones(3)}, "Downstream": fc_state()}),
        "a dump of s3prl, whose head takes a weighted sum of all layers and pools frames; expected a head on",
    ),
    "projector, post_net": (
        state_dict(("projector.weight", (5, 8)), ("model.post_net.linear.weight", (3, 5))),
        "projector and post_net are a head of s3prl, which pools frames",
    ),
    "projector, classifier": (
        state_dict(("projector.weight", (5, 8)), ("classifier.weight", (3, 5))),
        "projector and classifier are a head of transformers, which pools frames",
    ),
    "two state dicts": (
        having(ema_state_dict=fc_state()),
        "several state dicts: state_dict, ema_state_dict; expected one; save the one that is meant",
    ),
}
MORE_LABELS = {"a": 0, "b": 1, "c": 2, "d": 3}
LABEL_MAPS: Cases = {
    "half of a pair": (
        having(label2id={"a": 0, "\ud83d": 1, "c": 2}),
        r"'\\ud83d' is no label; expected text in Unicode",
    ),
    "a long one": (having(label2id=["a", "b", "c" * 1001]), "'ccc.* is no label; expected .* at most 1,000 characters"),
    "a thousand too many": (
        state_dict(("fc1.weight", (2, 8)), ("fc2.weight", (10_001, 2)), labels=[str(n) for n in range(10_001)]),
        "10,001 labels; expected at most 10,000",
    ),
    "none": (changed(lambda content: content.pop("label2id")), "3 logits and no labels; write label2id.json"),
    "too many": (having(label2id=MORE_LABELS), r"4 labels \(label2id in the file\) for 3 logits; correct the labels"),
    "an id twice": (
        having(label2id={"a": 0, "b": 1, "c": 1}),
        r"label2id has the ids \[0, 1, 1\]; expected 0 to 2, each",
    ),
    "a gap": (
        having(label2id={"a": 0, "b": 1, "c": 3}),
        r"label2id has the ids \[0, 1, 3\]; expected 0 to 2, each once",
    ),
    "from one": (having(label2id={"a": 1, "b": 2, "c": 3}), r"has the ids \[1, 2, 3\]; expected 0 to 2"),
    "ids as fractions": (
        having(label2id={"a": 0.0, "b": 1.0, "c": 2.0}),
        "expected label -> id or id -> label, ids from 0",
    ),
    "a translation": (
        having(label2id={"a": "x", "b": "y", "c": "z"}),
        "expected label -> id or id -> label, ids from 0",
    ),
    "no text": (having(label2id=[1, 2, 3]), r"label2id is \[1, 2, 3\]; expected labels as text"),
    "two that disagree": (
        having(id2label={0: "<none>", 1: "joy", 2: "😭"}),
        r"label2id in the file names .*'😭', 'joy'\], id2label in the file .*'joy', '😭'\]; expected the same",
    ),
    "label2id.json that disagrees": (
        beside("label2id.json", '{"<none>": 0, "joy": 1, "😭": 2}'),
        r"label2id in the file names .*, label2id.json .*; expected the same",
    ),
    "label2id.json with a gap": (
        beside("label2id.json", '{"<none>": 0, "joy": 2}'),
        r"label2id.json has the ids \[0, 2\]",
    ),
    "label2id.json empty": (beside("label2id.json", "{}"), r"label2id.json is \{\}; expected label -> id"),
    "label2id.json a list": (beside("label2id.json", '["a"]'), "label2id.json: holds a list; expected a JSON object"),
    "label2id.json no JSON": (
        beside("label2id.json", "{a"),
        r"label2id.json: cannot be read as JSON .*; write it anew",
    ),
    "a key twice": (
        beside("label2id.json", '{"a": 0, "a": 1}'),
        "label2id.json: cannot be read .*key 'a' stands twice",
    ),
    "deep JSON": (beside("config.json", '{"a":' + "[" * 100_000), "config.json: cannot be read as JSON"),
    "a number of 5000 digits": (beside("config.json", f'{{"a": {"9" * 5000}}}'), "config.json: cannot be read as JSON"),
    "no UTF-8": (beside_bytes("config.json", b'{"a": "\xe4"}'), r"config.json: cannot be read as JSON in UTF-8 .*0xe4"),
}
BAD_LABELS: Cases = {
    "the same after normalisation": (having(label2id={"😭": 0, ":sob:": 1, "c": 2}), "'😭' and ':sob:' are both '😭'"),
    "empty": (having(label2id={"a": 0, " ": 1, "c": 2}), "label ' ' is empty"),
    "one logit": (
        state_dict(("fc1.weight", (5, 8)), ("fc2.weight", (1, 5)), labels=["joy"]),
        r"labels in the file: labels \['joy'\] are 1; a classifier needs at least 2",
    ),
}
MEAN, SCALE = torch.zeros(8), torch.ones(8)
FACTS: Cases = {
    "a mean alone": (
        having(feature_mean=MEAN),
        "of a standardisation there is feature_mean; expected a mean and a scale",
    ),
    "a scale alone": (having(scaler={"scale_": [1.0] * 8}), "of a standardisation there is scaler.scale_; expected"),
    "scale and variance": (
        having(mean=MEAN, std=SCALE, var=SCALE),
        "there is mean, std, var; expected a mean and a scale",
    ),
    "another length": (
        having(feature_mean=torch.ones(7), feature_scale=SCALE),
        "feature_mean holds 7 numbers, the first",
    ),
    "one number": (
        having(feature_mean=0.5, feature_scale=2.0),
        "feature_mean is 0.5; expected 8 numbers, one for each",
    ),
    "one number in a tensor": (
        having(feature_mean=torch.ones(1)),
        r"feature_mean is tensor \(1,\); expected 8 numbers",
    ),
    "a matrix": (having(mean=torch.ones(2, 8), std=SCALE), r"mean is tensor \(2, 8\); expected 8 numbers"),
    "an empty mean": (having(feature_mean=[], feature_scale=SCALE), r"feature_mean is \[\]; expected 8 numbers"),
    "lists in a list": (
        having(feature_mean=[[0.0] * 8], std=SCALE),
        r"feature_mean is \[\[0.0, .*; expected 8 numbers",
    ),
    "a scale of 0": (having(feature_mean=MEAN, feature_scale=[1.0] * 7 + [0.0]), "feature_scale is 0.0 at 7; expected"),
    "NaN in the mean": (
        having(feature_mean=MEAN / 0, feature_scale=SCALE),
        "feature_mean is nan at 0; expected finite",
    ),
    "a huge number": (having(feature_mean=[10**400] * 8, feature_scale=SCALE), "feature_mean is inf at 0; expected"),
    "whole numbers": (
        having(mean=torch.ones(8, dtype=torch.int64), std=SCALE),
        "mean holds torch.int64; expected float",
    ),
    "two means": (
        having(feature_mean=MEAN, scaler_mean=MEAN, std=SCALE),
        "scaler_mean .* a second one of that meaning",
    ),
    "another vector": (
        having(feature_weights=torch.ones(8)),
        r"feature_weights is as long as an embedding \(8\), and is",
    ),
    "a standardisation elsewhere": (
        beside("config.json", json.dumps({"mean": [0.0] * 8, "std": [1.0] * 8})),
        "config.json.mean is as long as an embedding; expected it in the checkpoint itself, move it there",
    ),
    "a flag": (
        having(config={"l2_normalize": True}),
        "config.l2_normalize is True, and how it changes embeddings is not",
    ),
    "standardised, not how": (having(train_args={"standardize": True}), "train_args.standardize is True, and how it"),
    "temperature 0": (having(temperature=0), "temperature is 0; expected one number above 0"),
    "temperature NaN": (having(temperature=float("nan")), "temperature is nan; expected one number above 0"),
    "temperature as text": (having(temperature="warm"), "temperature is 'warm'; expected one number above 0"),
    "two temperatures": (
        having(temperature=2.0, calibration={"temperature": 3.0}),
        "several temperatures: temperature 2.0, calibration.temperature 3.0; expected one",
    ),
    "a temperature elsewhere": (
        beside("config.json", '{"temperature": 2}'),
        "config.json.temperature is not 1; .* move it",
    ),
    "another calibration": (
        having(logit_bias=torch.ones(3)),
        "logit_bias changes logits; expected a temperature alone",
    ),
    "input_dim": (
        having(config={"input_dim": 768}),
        "config.input_dim is 768, its layers are 8 -> 5.*; correct it, or take",
    ),
    "hidden_dim": (having(config={"hidden_dim": 512}), "config.hidden_dim is 512, its layers are 8 -> 5"),
    "hidden_dim as a list": (having(config={"hidden_dim": [5]}), r"config.hidden_dim is \[5\], its layers are 8 -> 5"),
    "num_classes": (having(hyper_parameters={"num_classes": 11}), "hyper_parameters.num_classes is 11, its layers are"),
    "nclass": (having(n_class=9), "n_class is 9, its layers are 8 -> 5 .* -> 3; expected their sizes; correct it"),
    "output_dim": (having(config={"output_dim": 9}), "config.output_dim is 9, its layers are 8 -> 5 .* -> 3; expected"),
    "out_features in config.json": (beside("config.json", '{"out_features": 9}'), "config.json.out_features is 9, its"),
    "num_labels as text": (having(config={"num_labels": "3"}), "config.num_labels is '3', its layers are"),
    "sizes in config.json": (beside("config.json", '{"embed_dim": 9}'), "config.json.embed_dim is 9, its layers are 8"),
    "activation": (having(config={"activation": "snake"}), "config.activation is 'snake'; expected one of relu, gelu"),
    "two activations": (
        having(config={"activation": "relu"}, train_args={"activation": "nn.GELU()"}),
        "config.activation is 'relu', train_args.activation is 'gelu'; expected one activation; keep the right one",
    ),
    "activation as a number": (having(activation=7), "activation is 7; expected one of"),
    "dropout": (having(config={"dropout": 1.5}), "config.dropout is 1.5; expected 0 or more, below 1"),
    "eps": (having(config={"layer_norm_eps": -1.0}), "config.layer_norm_eps is -1.0; expected a small number above 0"),
    "encoder": (having(config={"encoder": 7}), "config.encoder is 7; expected an encoder's name"),
    "a newer format": (having(format_version=99), "format_version is 99, this program reads up to 1; install a newer"),
    "another shape than its format": (
        state_dict(("fc1.weight", (5, 8)), ("fc2.weight", (3, 5)), format_version=1),
        "its layers are 8 -> 5 -> ReLU -> 3; expected the plain 3-layer MLP of its format_version",
    ),
}
ALL = {
    f"{kind}: {name}": case
    for kind, cases in {"weights": WEIGHTS, "labels": LABEL_MAPS, "facts": FACTS}.items()
    for name, case in cases.items()
}


@pytest.mark.parametrize(("write", "reason"), ALL.values(), ids=list(ALL))
def test_what_is_no_head_is_refused_with_the_place_and_the_cure(write: Write, reason: str, tmp_path: Path) -> None:
    path = write(tmp_path)
    with pytest.raises(CheckpointError, match=f"(?s){reason}") as refused:
        read_head(path)
    message = str(refused.value)
    assert str(path) in message or str(path.parent / "") in message
    assert ";" in message


@pytest.mark.parametrize(("write", "reason"), BAD_LABELS.values(), ids=list(BAD_LABELS))
def test_labels_that_cannot_be_told_apart_are_refused(write: Write, reason: str, tmp_path: Path) -> None:
    path = write(tmp_path)
    with pytest.raises(LabelError, match=reason) as refused:
        read_head(path)
    assert str(path) in str(refused.value)


def test_layers_that_are_too_large_together_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emoji_lightning.checkpoint.tensors.MAX_NUMBERS", 79)
    with pytest.raises(
        CheckpointError, match=r"net.6.weight \(3, 5\) makes 80 numbers .* expected at most 79 in a head"
    ):
        read_head(weights(lambda state: [state.pop(name) for name in list(state) if "bias" in name])(tmp_path))


@pytest.mark.parametrize("tensor", [torch.eye(3).to_sparse(), torch.ones(3, 3, device="meta")], ids=["sparse", "meta"])
def test_tensors_that_hold_no_numbers_in_memory_are_refused(tensor: torch.Tensor, tmp_path: Path) -> None:
    content = load_content(saved(good())(tmp_path))
    with pytest.raises(
        CheckpointError, match=r"a.weight \(3, 3\) is a Tensor .*; expected a dense tensor; save it as one"
    ):
        check_tensors({"a.weight": tensor}, content)
