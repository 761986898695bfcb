"""Weights and configurations that do not fit are refused, and nothing in them is executed."""

import json
import pickle
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from model_folder import WEIGHTS, edit_config, load, read_weights, write_weights
from numpy.typing import NDArray

from emoji_lightning.errors import EncoderError

if find_spec("funasr") is None:
    pytest.skip("funasr is not installed (extra: dev)", allow_module_level=True)

Waveform = NDArray[np.float32]
Generate = Callable[[Path, Waveform], Waveform]
PARITY = 1e-4


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("wrapper", ["state_dict", "model_state_dict", "bare", "module."])
def test_weights_may_be_wrapped_in_other_ways(
    model_copy: Path, speechlike: Callable[..., Waveform], wrapper: str
) -> None:
    expected = load(model_copy).encode(speechlike(5_000))
    weights = read_weights(model_copy)
    content: Any = {wrapper: weights}
    if wrapper == "bare":
        content = weights
    if wrapper == "module.":
        content = {"model": {f"module.{name}": value for name, value in weights.items()}}
    torch.save(content, model_copy / WEIGHTS)
    assert np.array_equal(load(model_copy).encode(speechlike(5_000)), expected)


def test_what_is_left_over_from_pretraining_does_not_matter(
    model_copy: Path, speechlike: Callable[..., Waveform]
) -> None:
    expected = load(model_copy).encode(speechlike(5_000))
    weights = read_weights(model_copy)
    weights = {name: value for name, value in weights.items() if ".decoder." not in name}
    weights["_ema"] = torch.zeros(3)
    weights["_ema.blocks.0.norm1.weight"] = torch.full((48,), float("nan"))
    weights["proj.weight"] = torch.zeros(9, 48)
    weights["modality_encoders.AUDIO.decoder.blocks.7.0.bias"] = torch.zeros(5)
    write_weights(model_copy, weights)
    assert np.array_equal(load(model_copy).encode(speechlike(5_000)), expected)


def test_a_weight_that_is_there_twice_is_refused(model_copy: Path) -> None:
    weights = read_weights(model_copy)
    write_weights(model_copy, {**weights, "d2v_model.norm1.bias": torch.zeros(2), "module.norm1.bias": torch.ones(2)})
    with pytest.raises(EncoderError, match=rf"{WEIGHTS}: holds norm1\.bias twice, under different prefixes"):
        load(model_copy)


@pytest.mark.parametrize(
    "extra", ["blocks.9.attn.qkv.weight", "norm.weight", "modality_encoders.AUDIO.more", "something.else"]
)
def test_a_weight_too_many_is_refused(model_copy: Path, extra: str) -> None:
    write_weights(model_copy, {**read_weights(model_copy), extra: torch.zeros(2)})
    with pytest.raises(
        EncoderError, match=rf"{WEIGHTS}: the weights do not fit config\.yaml: {extra} is not in the mod"
    ):
        load(model_copy)


def test_plus_models_have_a_prefix_and_a_classifier_and_give_funasr_s_vectors(
    model_copy: Path, generate: Generate, speechlike: Callable[..., Waveform]
) -> None:
    # The keys of emotion2vec_plus_large's model.pt; its config.yaml tells funasr of the prefix by scope_map.
    weights = {name: value for name, value in read_weights(model_copy).items() if ".decoder." not in name}
    plus = {f"d2v_model.{name}": value for name, value in weights.items()}
    plus |= {"proj.weight": torch.zeros(9, 48), "proj.bias": torch.zeros(9)}
    torch.save({"args": None, "cfg": {"model": {"_name": "x"}}, "model": plus}, model_copy / "model.pt")
    (model_copy / WEIGHTS).unlink()
    metas = {"init_param": "model.pt", "config": "config.yaml", "tokenizer_conf": {"token_list": "tokens.txt"}}
    (model_copy / "configuration.json").write_text(json.dumps({"file_path_metas": metas}))
    edit_config(model_copy, "model: Emotion2vec\n", "model: Emotion2vec\nscope_map: [d2v_model., none]\n")
    waveform = speechlike(5_000)
    assert np.abs(load(model_copy).encode(waveform) - generate(model_copy, waveform)).max() < PARITY
    del plus["d2v_model.blocks.0.norm1.bias"]
    torch.save({"model": plus}, model_copy / "model.pt")
    with pytest.raises(EncoderError, match=r"do not fit config\.yaml: blocks\.0\.norm1\.bias is missing\. Download"):
        load(model_copy)


def test_everything_runs_in_full_precision(
    tiny_model: Path, speechlike: Callable[..., Waveform], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = load(tiny_model)
    seen = []
    network = encoder._network
    backends: list[Any] = [torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.mkldnn.matmul]

    def watch(*arguments: Any) -> Any:
        seen.append({backend.fp32_precision for backend in backends})
        return network(*arguments)

    monkeypatch.setattr(encoder, "_network", watch)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")  # as a training script does
    try:
        encoder.encode(speechlike(400))
        list(encoder.encode_batch([speechlike(400), speechlike(800)]))
        assert seen == 3 * [{"ieee"}]
        assert (torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()) == (True, "medium")
    finally:
        torch.set_float32_matmul_precision(before)


def test_weights_under_another_prefix_are_refused_and_counted(model_copy: Path) -> None:
    weights = {f"encoder.{name}": value for name, value in read_weights(model_copy).items()}
    num_missing = sum(".decoder." not in name for name in weights)
    write_weights(model_copy, weights)
    with pytest.raises(
        EncoderError, match=rf"do not fit .* is missing; .* is missing; and {2 * num_missing - 3} more\. Down"
    ):
        load(model_copy)


def test_each_missing_weight_is_refused(model_copy: Path) -> None:
    whole = read_weights(model_copy)
    for name in ("modality_encoders.AUDIO.alibi_scale", "modality_encoders.AUDIO.extra_tokens", "blocks.0.norm1.bias"):
        write_weights(model_copy, {other: value for other, value in whole.items() if other != name})
        with pytest.raises(EncoderError, match=rf"do not fit config\.yaml: {name} is missing\. Download both again"):
            load(model_copy)


def test_a_weight_of_another_shape_is_refused(model_copy: Path) -> None:
    weights = read_weights(model_copy)
    weights["blocks.0.norm1.weight"] = torch.ones(47)
    write_weights(model_copy, weights)
    with pytest.raises(
        EncoderError, match=r"blocks\.0\.norm1\.weight is \(47,\), the model has \(48,\)\. Download both"
    ):
        load(model_copy)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(model_copy: Path, value: float) -> None:
    weights = read_weights(model_copy)
    weights["blocks.0.norm2.bias"][7] = value
    write_weights(model_copy, weights)
    with pytest.raises(EncoderError, match=r"config\.yaml: blocks\.0\.norm2\.bias holds NaN"):
        load(model_copy)


def test_missing_weights_are_named_with_what_the_folder_holds(model_copy: Path) -> None:
    (model_copy / WEIGHTS).unlink()
    (model_copy / "model.pt").write_bytes(b"")  # not what configuration.json names
    holds = r"holds \['config\.yaml', 'configuration\.json', 'model\.pt'\]; download the model again"
    with pytest.raises(EncoderError, match=rf"model: emotion2vec_base\.pt is missing, the folder {holds}"):
        load(model_copy)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"these are no weights", r"cannot read it \(.+\); download it again"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n", r"cannot read it \(.+\); download"),
        (b"", r"cannot read it \(.+\); download it again"),
        (b"PK\x03\x04 not a zip", r"cannot read it \(.+\); download it again"),
    ],
)
def test_weights_that_are_something_else_are_refused(model_copy: Path, content: bytes, problem: str) -> None:
    (model_copy / WEIGHTS).write_bytes(content)
    with pytest.raises(EncoderError, match=rf"{WEIGHTS}: torch\.load\(weights_only=True\) {problem}") as caught:
        load(model_copy)
    assert "\n" not in str(caught.value)


def test_a_file_that_holds_a_list_is_refused(model_copy: Path) -> None:
    torch.save([torch.zeros(3)], model_copy / WEIGHTS)
    with pytest.raises(EncoderError, match=rf"{WEIGHTS}: holds a list, not the weights of a model"):
        load(model_copy)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_damaged_weights_give_encoder_errors_and_nothing_else(model_copy: Path, *, legacy: bool) -> None:
    file = model_copy / WEIGHTS
    few = {"model": {"norm.bias": torch.zeros(2), "blocks.0.w": torch.ones(3, 4)}}
    torch.save(few, file, _use_new_zipfile_serialization=not legacy)
    whole, rng = file.read_bytes(), np.random.default_rng(3)
    for _ in range(40):
        damaged = bytearray(whole)
        for position in rng.integers(0, len(damaged), size=3):
            damaged[position] = rng.integers(0, 256)
        file.write_bytes(damaged[: rng.integers(1, len(damaged))] if rng.random() < 0.2 else damaged)
        with pytest.raises(EncoderError, match=rf"{WEIGHTS}: "):
            load(model_copy)


class Attack:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.target,)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_code_in_a_weights_file_is_not_run(model_copy: Path, tmp_path: Path) -> None:
    target = tmp_path / "attacked"
    for content in (Attack(target), {"model": {**read_weights(model_copy), "hook": Attack(target)}}):
        (model_copy / WEIGHTS).write_bytes(pickle.dumps(content))
        with pytest.raises(EncoderError, match=rf"{WEIGHTS}: torch\.load\(weights_only=True\) cannot read it"):
            load(model_copy)
        torch.save(content, model_copy / WEIGHTS)
        with pytest.raises(EncoderError, match=rf"{WEIGHTS}: torch\.load\(weights_only=True\) cannot read it"):
            load(model_copy)
    assert not target.exists()
    Path.touch(*Attack(target).__reduce__()[1])
    assert target.exists()  # the attack itself works


# --- a configuration that does not fit -------------------------------------------------------------------------------


def test_a_missing_configuration_is_named(model_copy: Path) -> None:
    (model_copy / "config.yaml").unlink()
    with pytest.raises(
        EncoderError, match=r"model: config\.yaml is missing, the folder holds \['configuration\.json', 'em"
    ):
        load(model_copy)


@pytest.mark.parametrize(
    "content",
    ["{unclosed: [", "just text", "", "- a\n- list\n", "model: Emotion2vec\n", "model_conf: {embed_dim: 48}\n", "\0\1"],
)
def test_a_configuration_of_something_else_is_refused(model_copy: Path, content: str) -> None:
    (model_copy / "config.yaml").write_text(content)
    with pytest.raises(EncoderError, match=r"config\.yaml: not the configuration of an emotion2vec model"):
        load(model_copy)


def test_the_configuration_of_another_model_is_refused(model_copy: Path) -> None:
    edit_config(model_copy, "model: Emotion2vec", "model: Paraformer")
    with pytest.raises(EncoderError, match=r"config\.yaml: describes the model 'Paraformer'; Emotion2vec is needed"):
        load(model_copy)


@pytest.mark.parametrize(
    "code",
    [
        '[(16, 10, 5)] + [__import__("pathlib").Path("TARGET").touch()]',
        '__import__("pathlib").Path("TARGET").touch() or [(16,10,5)]',
        "[(16, 10, 5)] * 10**3",
        "[(16, 10, 5) for _ in ().__class__.__base__.__subclasses__()]",
        "[(16, 10, 5)]\nimport os",
    ],
)
def test_code_in_the_configuration_is_not_run(model_copy: Path, tmp_path: Path, code: str) -> None:
    text = json.dumps(code.replace("TARGET", str(tmp_path / "attacked")))
    edit_config(model_copy, "'[(16, 10, 5)] + [(16, 3, 2)] * 4 + [(16,2,2)] + [(24,2,2)]'", text)
    with pytest.raises(
        EncoderError, match=r"config\.yaml: feature_encoder_spec is .*; only lists of \(channels, kernel"
    ):
        load(model_copy)
    assert not (tmp_path / "attacked").exists()


def test_a_yaml_tag_with_code_is_not_run(model_copy: Path, tmp_path: Path) -> None:
    tag = f"depth: !!python/object/apply:os.mkdir ['{tmp_path / 'attacked'}']"
    edit_config(model_copy, "depth: 1\n  embed_dim", f"{tag}\n  embed_dim")
    with pytest.raises(EncoderError, match=r"config\.yaml: not the configuration of an emotion2vec model"):
        load(model_copy)
    assert not (tmp_path / "attacked").exists()


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("conv_pos_groups: 8", "conv_pos_groups: 7", r"position_groups 7 does not divide 48"),
        ("num_heads: 4\n  mlp", "num_heads: 5\n  mlp", r"num_heads 5 does not divide 48"),
        ("num_heads: 4\n  mlp", "num_heads: 0\n  mlp", r"num_heads is 0"),
        ("num_alibi_heads: 4", "num_alibi_heads: 8", r"num_alibi_heads is 8, there are 4 heads"),
        ("extractor_mode: layer_norm", "extractor_mode: default", r"extractor_mode is 'default', only 'layer_norm' is"),
        ("learned_alibi: false", "learned_alibi: true", r"learned_alibi is True, only False is known"),
        ("(24,2,2)", "(24,2,0)", r"feature_encoder_spec is .*; channels, kernels and strides are 1 at least"),
        (
            "model_depth: 1\n      prenet_layerdrop: 0.5",
            "model_depth: 7\n      prenet_layerdrop: 0.5\n      learned_alibi_scale_per_layer: true",
            r"model_depth gives 8 scales, there are 2 blocks",
        ),
    ],
)
def test_values_that_no_model_has_are_named(model_copy: Path, *, old: str, new: str, problem: str) -> None:
    if "per_layer" in new:
        edit_config(model_copy, "      learned_alibi_scale_per_layer: false\n", "")
    edit_config(model_copy, old, new)
    with pytest.raises(EncoderError, match=rf"config\.yaml: {problem}.*; download it again"):
        load(model_copy)


def test_a_configuration_of_other_sizes_does_not_fit_the_weights(model_copy: Path) -> None:
    edit_config(model_copy, "mlp_ratio: 0.5", "mlp_ratio: 1.0")
    with pytest.raises(EncoderError, match=r"mlp\.fc1\.weight is \(24, 48\), the model has \(48, 48\)"):
        load(model_copy)


@pytest.mark.parametrize("content", ["{", "[]", '"text"', '{"file_path_metas": null}', '{"file_path_metas": [1]}'])
def test_a_damaged_configuration_json_is_named(model_copy: Path, content: str) -> None:
    (model_copy / "configuration.json").write_text(content)
    with pytest.raises(
        EncoderError, match=r"configuration\.json: not the JSON of a model folder .*; download it again"
    ):
        load(model_copy)
