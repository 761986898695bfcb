"""What tests of several folders need: a tiny emotion2vec model, built here, one headless Chromium, a failing run."""

import json
import shutil
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from emoji_lightning.cli import main

# Every kind of layer that the released model has, each as narrow as it can be. PyYAML would read 1e-05 as text.
TINY_CONFIG = """\
model: Emotion2vec
model_conf:
  depth: 1
  embed_dim: 48
  num_heads: 4
  mlp_ratio: 0.5
  norm_eps: 1e-05
  norm_affine: true
  layer_norm_first: false
  end_of_block_targets: false
  start_drop_path_rate: 0.0
  end_drop_path_rate: 0.0
  encoder_dropout: 0.1
  attention_dropout: 0.1
  activation_dropout: 0.1
  post_mlp_drop: 0.1
  dropout_input: 0.1
  layerdrop: 0.5
  average_top_k_layers: 1
  clone_batch: 1
  normalize: true
  modalities:
    audio:
      type: AUDIO
      extractor_mode: layer_norm
      feature_encoder_spec: '[(16, 10, 5)] + [(16, 3, 2)] * 4 + [(16,2,2)] + [(24,2,2)]'
      conv_pos_width: 25
      conv_pos_depth: 5
      conv_pos_groups: 8
      conv_pos_pre_ln: false
      prenet_depth: 1
      model_depth: 1
      prenet_layerdrop: 0.5
      prenet_dropout: 0.1
      start_drop_path_rate: 0.0
      end_drop_path_rate: 0.0
      num_extra_tokens: 10
      init_extra_token_zero: true
      local_grad_mult: 1.0
      use_alibi_encoder: true
      learned_alibi: false
      learned_alibi_scale: true
      learned_alibi_scale_per_head: true
      learned_alibi_scale_per_layer: false
      alibi_scale: 1.0
      alibi_max_pos: null
      num_alibi_heads: 4
      decoder:
        decoder_dim: 16
        decoder_groups: 4
        decoder_kernel: 3
        decoder_layers: 1
        input_dropout: 0.1
        add_positions_masked: false
        add_positions_all: false
        decoder_residual: true
        projection_layers: 1
        projection_ratio: 2.0
"""
METAS = {"file_path_metas": {"init_param": "emotion2vec_base.pt", "config": "config.yaml"}}


def skip_without_funasr() -> None:
    """Look for funasr without importing it: the tests also watch what its import does to a process."""
    if find_spec("funasr") is None:
        pytest.skip("funasr is not installed (extra: dev)")


@pytest.fixture(scope="session")
def build_model() -> Callable[..., Path]:
    """Make a model folder as the hub has it, seeded, every parameter far from its initial value unless it is plain."""
    skip_without_funasr()
    import torch
    from omegaconf import OmegaConf
    from quiet_funasr import undisturbed

    def build(folder: Path, config_text: str, *, plain: bool = False) -> Path:
        folder.mkdir()
        (folder / "config.yaml").write_text(config_text, encoding="utf-8")
        (folder / "configuration.json").write_text(json.dumps(METAS), encoding="utf-8")
        config: Any = OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"))
        with undisturbed(), torch.no_grad():
            from funasr.models.emotion2vec.model import Emotion2vec

            torch.manual_seed(20)
            model = Emotion2vec(model_conf=config["model_conf"])
            for name, parameter in () if plain else model.named_parameters():
                # Queries and keys this large make softmax pick a few frames instead of averaging all.
                factor = 6.0 if name.endswith("qkv.weight") else 1.0
                spread = 0.5 if parameter.ndim == 1 or name.endswith("alibi_scale") else 0.1
                parameter.mul_(factor).add_(spread * torch.randn(parameter.shape))
        torch.save({"model": model.state_dict()}, folder / "emotion2vec_base.pt")
        return folder

    return build


@pytest.fixture(scope="session")
def tiny_model(build_model: Callable[[Path, str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One model for all tests that do not change it."""
    return build_model(tmp_path_factory.mktemp("models") / "tiny", TINY_CONFIG)


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run the program, demand exit code 2 and no traceback, return the error text."""

    def run(*words: object) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit, match="2"):
            main([str(word) for word in words])
        error = capsys.readouterr().err
        first = next(line for line in error.splitlines() if not line.startswith("note: "))
        assert first.startswith(("error: ", "usage: "))  # the latter of argparse, with the error below it
        assert "Traceback" not in error
        return error

    return run


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium, through playwright; tests skip where one of them is not installed."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra: dev)")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed (Debian: apt-get install chromium fonts-noto-color-emoji)")
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=chromium, args=arguments)
        yield launched
        launched.close()
