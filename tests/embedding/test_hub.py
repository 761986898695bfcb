import sys
import urllib.request
from pathlib import Path
from time import monotonic
from typing import Any, NoReturn

import pytest

from emoji_lightning.embedding import hub
from emoji_lightning.errors import EncoderError


class Network:
    """Stands in for the network: refuses, and remembers what was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def urlopen(self, request: Any, timeout: float) -> NoReturn:
        self.asked.append(request.full_url)
        assert timeout <= 10
        raise OSError("Network is unreachable\nsecond line")

    def download(self, *names: Any, **options: Any) -> NoReturn:
        raise AssertionError("a download was begun without looking whether the hub is there")


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Network:
    """No network, and caches that are empty."""
    hugging_face = pytest.importorskip("huggingface_hub")
    modelscope = pytest.importorskip("modelscope")
    blocked = Network()
    monkeypatch.setattr(urllib.request, "urlopen", blocked.urlopen)
    monkeypatch.setattr(hugging_face, "snapshot_download", blocked.download)
    monkeypatch.setattr(modelscope, "snapshot_download", blocked.download)
    monkeypatch.setattr(hugging_face.constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.setattr(hugging_face.constants, "ENDPOINT", "https://hf.invalid")
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path / "ms"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    return blocked


def fill(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True)
    for file in hub.MODELS[name]:
        (folder / file).write_text(file)
    return folder


def hugging_face_snapshot(cache: Path, name: str) -> Path:
    """The layout of https://huggingface.co/docs/huggingface_hub/guides/manage-cache."""
    repository = cache / f"models--emotion2vec--{name}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc123")
    return repository / "snapshots" / "abc123"


@pytest.mark.parametrize("model", hub.MODELS)
def test_names_and_hub_ids_have_one_short_name(model: str) -> None:
    assert [hub.short_name(f"{owner}{model}") for owner in ("", "iic/", "emotion2vec/")] == [model] * 3


@pytest.mark.parametrize(
    "name",
    ["", "emotion2vec", "iic/", "someone/emotion2vec_base", "/emotion2vec_base", "iic/iic/emotion2vec_base", "logmel"],
)
def test_other_names_have_none(name: str) -> None:
    assert hub.short_name(name) is None


@pytest.mark.parametrize("model", ["emotion2vec_base", "emotion2vec_plus_large"])
def test_a_model_in_the_hugging_face_cache_needs_no_network(network: Network, tmp_path: Path, model: str) -> None:
    folder = fill(hugging_face_snapshot(tmp_path / "hf", model), model)
    assert hub.fetch_model(model) == folder
    assert network.asked == []


@pytest.mark.parametrize(
    "layout",
    [
        "hub/models/iic/emotion2vec_base",
        "hub/iic/emotion2vec_base",
        "models/iic/emotion2vec_base",
        "models/iic--emotion2vec_base/snapshots/master",
    ],
)
def test_a_model_in_the_modelscope_cache_needs_no_network(network: Network, tmp_path: Path, layout: str) -> None:
    folder = fill(tmp_path / "ms" / layout, "emotion2vec_base")
    assert hub.fetch_model("emotion2vec_base") == folder
    assert network.asked == []


def test_modelscope_s_own_place_is_looked_at_without_its_variable(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MODELSCOPE_CACHE")
    folder = fill(tmp_path / "home/.cache/modelscope/hub/models/iic/emotion2vec_base", "emotion2vec_base")
    assert hub.fetch_model("emotion2vec_base") == folder
    assert network.asked == []


@pytest.mark.parametrize("lacking", ["config.yaml", "emotion2vec_base.pt"])
def test_half_a_download_is_no_model(network: Network, tmp_path: Path, lacking: str) -> None:
    for folder in (
        hugging_face_snapshot(tmp_path / "hf", "emotion2vec_base"),
        tmp_path / "ms/models/iic/emotion2vec_base",
    ):
        (fill(folder, "emotion2vec_base") / lacking).unlink()
    with pytest.raises(EncoderError, match=r"is in no local cache and could not be downloaded"):
        hub.fetch_model("emotion2vec_base")


def test_a_cached_model_needs_no_configuration_json(network: Network, tmp_path: Path) -> None:
    folder = fill(hugging_face_snapshot(tmp_path / "hf", "emotion2vec_base"), "emotion2vec_base")
    (folder / "configuration.json").unlink()
    assert hub.fetch_model("emotion2vec_base") == folder
    assert network.asked == []


def test_without_a_network_one_error_says_what_to_fetch_and_where_to_put_it(network: Network) -> None:
    start = monotonic()
    with pytest.raises(EncoderError) as caught:
        hub.fetch_model("emotion2vec_base")
    assert monotonic() - start < 10
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith("encoder 'emotion2vec_base' is in no local cache and could not be downloaded (Hugging Face:")
    assert text.count("Network is unreachable") == 2
    for part in (
        "fetch config.yaml, configuration.json, emotion2vec_base.pt (1.13 GB) from",
        "Hugging Face repository emotion2vec/emotion2vec_base or the ModelScope repository iic/emotion2vec_base",
        "give --encoder FOLDER",
        "--encoder logmel needs no download",
    ):
        assert part in text
    assert network.asked == ["https://hf.invalid", "https://www.modelscope.cn"]


def test_the_files_of_another_model_are_named_by_their_own_names(network: Network) -> None:
    with pytest.raises(EncoderError, match=r"fetch config\.yaml, configuration\.json, model\.pt from the Hugging Face"):
        hub.fetch_model("emotion2vec_plus_seed")


@pytest.mark.parametrize("value", ["1", "true", "TRUE", "True", "yes", "ON"])
def test_offline_means_that_no_hub_is_asked(network: Network, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    with pytest.raises(EncoderError, match=r"could not be downloaded \(HF_HUB_OFFLINE is set\)\. On a machine with a"):
        hub.fetch_model("emotion2vec_base")
    assert network.asked == []


@pytest.mark.parametrize("value", ["0", "", "false"])
def test_offline_may_be_switched_off(network: Network, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    with pytest.raises(EncoderError, match=r"Network is unreachable"):
        hub.fetch_model("emotion2vec_base")
    assert len(network.asked) == 2


def test_a_hub_that_answers_is_asked_for_the_needed_files_only(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    calls: list[tuple[str, list[str]]] = []

    def download(repository: str, allow_patterns: list[str]) -> str:
        calls.append((repository, allow_patterns))
        return str(tmp_path / "new")

    monkeypatch.setattr(hub, "_check_reachable", lambda url: None)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert hub.fetch_model("emotion2vec_base") == tmp_path / "new"
    assert calls == [("emotion2vec/emotion2vec_base", ["config.yaml", "configuration.json", "emotion2vec_base.pt"])]


def test_modelscope_is_asked_where_hugging_face_is_blocked(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import modelscope

    def check(url: str) -> None:
        if "modelscope" not in url:
            raise OSError("blocked")

    def download(repository: str, allow_patterns: list[str]) -> str:
        assert allow_patterns == ["config.yaml", "configuration.json", "model.pt"]
        return str(tmp_path / repository)

    monkeypatch.setattr(hub, "_check_reachable", check)
    monkeypatch.setattr(modelscope, "snapshot_download", download)
    assert hub.fetch_model("emotion2vec_plus_base") == tmp_path / "iic/emotion2vec_plus_base"


def test_missing_hub_libraries_are_part_of_the_same_error(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    monkeypatch.setitem(sys.modules, "modelscope", None)
    with pytest.raises(
        EncoderError, match=r"Hugging Face: .*huggingface_hub.*; ModelScope: .*modelscope.*--encoder FOLDER"
    ):
        hub.fetch_model("emotion2vec_base")
