"""What a checkpoint says beside weights and labels, and how it is applied."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from broken_files import beside, good, having, saved
from safetensors.torch import save_file
from torch import nn

from emoji_lightning.checkpoint.architecture import ACTIVATIONS, Architecture, Layer, plain
from emoji_lightning.checkpoint.content import load_content, walk
from emoji_lightning.checkpoint.stored_head import StoredHead, read_head

X = torch.linspace(-2, 2, 32).reshape(4, 8)


def read(tmp_path: Path, **more: Any) -> StoredHead:
    return read_head(having(**more)(tmp_path))


def logits_of(head: StoredHead, x: torch.Tensor = X) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = head.build()(x)
    return logits


def origins(head: StoredHead) -> dict[str, str]:
    assert head.source is not None
    return dict(head.source.origins)


@pytest.mark.parametrize("spelling", ["{}", "nn.{}", "torch.nn.{}()", "{}(inplace=True)"])
@pytest.mark.parametrize("name", ["ReLU", "GELU", "Tanh", "SiLU", "ELU", "LeakyReLU", "SELU", "Sigmoid", "Mish"])
def test_an_activation_is_known_by_its_name(name: str, spelling: str, tmp_path: Path) -> None:
    head = read(tmp_path, config={"activation": spelling.format(name)})
    weights = {key: good()["state_dict"][f"net.{key}"] for key in head.state_dict}
    theirs = nn.Sequential(
        nn.Linear(8, 5), nn.ReLU(), nn.Dropout(), nn.Linear(5, 5), nn.ReLU(), nn.Dropout(), nn.Linear(5, 3)
    )
    theirs[1] = theirs[4] = getattr(nn, name)()
    theirs.load_state_dict(weights)
    assert ACTIVATIONS[head.architecture.activation] is getattr(nn, name)
    torch.testing.assert_close(logits_of(head), theirs.eval()(X).detach(), rtol=0, atol=1e-6)


def test_one_activation_said_twice_is_one(tmp_path: Path) -> None:
    head = read(tmp_path, config={"activation": "silu"}, train_args={"activation": "Swish", "hidden_act": "gelu"})
    assert head.architecture.activation in ("silu", "swish")


def test_standardisation_and_temperature_are_applied(tmp_path: Path) -> None:
    mean, scale = torch.linspace(-1, 1, 8), torch.linspace(1, 2, 8)
    head = read(tmp_path, feature_mean=mean, feature_scale=scale, temperature=torch.tensor([2.0]))
    bare = read(tmp_path)
    torch.testing.assert_close(logits_of(head), logits_of(bare, (X - mean) / scale) / 2.0, rtol=0, atol=1e-6)
    assert head.standardization is not None
    assert (head.standardization.mean_place, head.standardization.scale_place) == (
        ("feature_mean",),
        ("feature_scale",),
    )
    assert head.source is not None
    assert head.source.temperature == ("temperature",)
    assert head.temperature == 2.0
    assert origins(head)["standardisation"] == "feature_mean, feature_scale"
    assert origins(head)["temperature"] == "temperature"
    assert not {"standardisation", "temperature"} & origins(bare).keys()


def test_a_variance_is_known_as_one(tmp_path: Path) -> None:
    head = read(tmp_path, scaler={"mean_": [0.0] * 8, "var_": [4.0] * 8})
    assert head.standardization is not None
    assert head.standardization.is_variance
    assert head.standardization.scale.tolist() == [2.0] * 8
    assert head.standardization.scale_place == ("scaler", "var_")
    assert origins(head)["standardisation"] == "scaler.mean_, scaler.var_"


@pytest.mark.parametrize(
    "name", ["mean std", "mu sigma", "embedding_mean embedding_std", "x_mean x_scale", "input_mean input_std"]
)
def test_a_standardisation_is_known_by_many_names(name: str, tmp_path: Path) -> None:
    mean_name, scale_name = name.split()
    head = read(tmp_path, **{mean_name: [1.0] * 8, scale_name: [2.0] * 8})
    assert head.standardization is not None
    assert (float(head.standardization.mean[0]), float(head.standardization.scale[0])) == (1.0, 2.0)


@pytest.mark.parametrize(
    "more",
    [
        {"feature_mean": 0.0, "feature_scale": 1.0},
        {"config": {"l2_normalize": False, "standardize": None}},
        {"metrics": {"mean": 0.5, "std": torch.tensor(0.1)}},
        {"optimizer": {"exp_avg": torch.ones(8), "temperature": 5.0}},
        {"train_args": {"temperature": 0.07}},
        {"temperature": None},
        {"history": [1.0, 2.0, 3.0]},
    ],
)
def test_what_changes_no_logits_is_passed_over(more: dict[str, Any], tmp_path: Path) -> None:
    head = read(tmp_path, **more)
    assert head.standardization is None
    assert head.temperature == 1.0
    assert torch.equal(logits_of(head), logits_of(read(tmp_path)))


def test_a_flag_is_right_where_the_standardisation_is_stored(tmp_path: Path) -> None:
    head = read(tmp_path, config={"standardize": True}, mean=[1.0] * 8, std=[2.0] * 8)
    assert head.standardization is not None


def test_safetensors_metadata_says_the_temperature(tmp_path: Path) -> None:
    state = {name: tensor.clone() for name, tensor in good()["state_dict"].items()}
    labels = json.dumps(good()["label2id"])
    save_file(state, tmp_path / "head.safetensors", {"label2id": labels, "temperature": "2.5", "note": "[1"})
    head = read_head(tmp_path / "head.safetensors")
    assert head.temperature == 2.5
    assert head.source is not None
    assert head.source.content.is_safetensors
    assert head.source.content.data["__metadata__"]["note"] == "[1"


def test_the_eps_of_norms_is_taken_where_it_is_stated(tmp_path: Path) -> None:
    shapes = {
        "0.weight": (8,),
        "0.bias": (8,),
        "1.weight": (4, 8),
        "2.weight": (4,),
        "2.bias": (4,),
        "5.weight": (3, 4),
    }
    state = {name: torch.ones(shape) for name, shape in shapes.items()}
    content = {"state_dict": state, "labels": ["a", "b", "c"], "config": {"layer_norm_eps": 0.5}}
    head = read_head(saved(content)(tmp_path))
    assert head.architecture.eps == 0.5
    module = head.build()
    assert [norm.eps for norm in module.modules() if isinstance(norm, nn.LayerNorm)] == [0.5, 0.5]


def test_sizes_that_fit_are_accepted_in_any_container(tmp_path: Path) -> None:
    sizes = {"input_dim": 8, "hidden_dim": 5, "num_classes": 3, "hidden_size": 8, "hidden_dims": [5, 5]}
    head = read_head(beside("config.json", json.dumps(sizes), having(config=sizes, hyper_parameters=sizes))(tmp_path))
    assert head.architecture == plain(8, 5, 3)


def test_sizes_of_other_things_are_passed_over(tmp_path: Path) -> None:
    config = {"output_dim": 5, "out_dim": 8, "output_size": 3, "out_features": ["mean", "std"]}
    encoder = {"encoder_cfg": {"deep": {"hidden_size": 1024}}, "encoder_config": {"output_dim": 1024}}
    head = read(tmp_path, **encoder, config=config, train_args={"num_classes": 99})
    assert head.architecture == plain(8, 5, 3)


def test_the_encoder_is_found_in_many_places(tmp_path: Path) -> None:
    assert read(tmp_path, config={"encoder": "a"}, upstream="b").encoder == "a"
    assert read(tmp_path, train_args={"model_name": "iic/emotion2vec_base"}).encoder == "iic/emotion2vec_base"
    assert read(tmp_path, train_args={"model_name": "mlp"}).encoder is None
    summary = json.dumps({"model": {"encoder": "c", "embedding": {"weights_sha256": "d" * 64}}, "accuracy": 0.7})
    head = read_head(beside("summary.json", summary)(tmp_path))
    assert (head.encoder, head.weights_sha256) == ("c", "d" * 64)
    assert head.summary["accuracy"] == 0.7
    assert origins(head)["encoder"] == "summary.json"


def test_the_dropout_is_taken_where_it_is_stated(tmp_path: Path) -> None:
    head = read(tmp_path, config={"dropout": 0.35})
    assert head.dropout == 0.35
    assert [module.p for module in head.build().modules() if isinstance(module, nn.Dropout)] == [0.35] * 2
    assert not head.build().training


def test_the_source_says_which_bytes_were_read(tmp_path: Path) -> None:
    path = saved(good())(tmp_path)
    content = load_content(tmp_path)
    assert content.file == path
    assert content.num_bytes == path.stat().st_size
    assert content.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", ["模型.pt", "тест.ckpt", "a b'c.pth", "v1..2.pt", "ünïcode.bin"])
def test_a_file_may_be_called_anything(name: str, tmp_path: Path) -> None:
    path = saved(good(), name)(tmp_path)
    assert read_head(path).label_set == read_head(tmp_path).label_set


def test_of_several_files_in_a_folder_best_classifier_is_taken(tmp_path: Path) -> None:
    saved(good() | {"labels": ["<none>", "😭", "joy"]}, "last.ckpt")(tmp_path)
    path = saved(good(), "best_classifier.pt")(tmp_path)
    assert load_content(tmp_path).file == path


def test_weights_are_copies_that_outlive_the_file(tmp_path: Path) -> None:
    path = saved(good())(tmp_path)
    head = read_head(path)
    before = logits_of(head)
    with path.open("r+b") as file:
        file.write(b"\0" * path.stat().st_size)
    assert torch.equal(logits_of(head), before)


def test_reading_leaves_the_global_random_state_as_it_is(tmp_path: Path) -> None:
    path = having(mean=[1.0] * 8, std=[2.0] * 8)(tmp_path)
    before = torch.get_rng_state()
    module = read_head(path).build()
    assert torch.equal(torch.get_rng_state(), before)
    assert module.to(torch.float64)(X.double()).dtype == torch.float64


def test_a_module_that_is_trained_leaves_the_head_as_it_is(tmp_path: Path) -> None:
    head = read_head(saved(good())(tmp_path))
    before = logits_of(head)
    with torch.no_grad():
        for parameter in head.build().parameters():
            parameter.zero_()
    assert torch.equal(logits_of(head), before)


def test_walking_goes_through_each_dict_once_and_four_deep() -> None:
    inner: dict[Any, Any] = {"x": 1}
    data: dict[Any, Any] = {"a": inner, "b": inner, "c": {"d": {"e": {"f": {"g": 1}}}}}
    data["itself"] = data
    places = [".".join(place) for place, _ in walk(data)]
    assert places == ["a", "b", "c", "itself", "a.x", "c.d", "c.d.e", "c.d.e.f"]


ARCHITECTURES = [
    plain(8, 5, 3),
    Architecture(
        8, (Layer(5, bias=False, norm_in="layer_norm"), Layer(4, norm_out="batch_norm"), Layer(3)), "gelu", 1e-3
    ),
]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_an_architecture_survives_as_plain_data(architecture: Architecture) -> None:
    content = json.loads(json.dumps(architecture.to_dict()))
    assert Architecture.from_dict(content) == architecture
    module = architecture.with_labels(7).build(0.1)
    assert module(X).shape == (4, 7)
    for (number, role), index in architecture.places().items():
        expected = {"linear": nn.Linear, "norm_in": nn.LayerNorm, "norm_out": nn.BatchNorm1d}.get(role)
        assert expected is None or isinstance(architecture.build(0.0)[index], expected), (number, role)


def test_another_number_of_labels_changes_the_last_width_alone() -> None:
    layers = (Layer(5), Layer(3, bias=False, norm_in="layer_norm", norm_out="batch_norm"))
    changed = Architecture(8, layers, "tanh", 1e-3).with_labels(7)
    last = Layer(7, bias=False, norm_in="layer_norm", norm_out="batch_norm")
    assert changed == Architecture(8, (Layer(5), last), "tanh", 1e-3)


def test_only_two_relu_layers_of_one_width_are_plain() -> None:
    assert plain(8, 5, 3).is_plain
    assert [architecture.is_plain for architecture in ARCHITECTURES] == [True, False]
    assert not Architecture(8, (Layer(5), Layer(4), Layer(3))).is_plain
    assert not Architecture(8, (Layer(5), Layer(5), Layer(3)), "gelu").is_plain
    assert not Architecture(8, (Layer(5), Layer(3))).is_plain
