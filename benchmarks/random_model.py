"""A model folder of emotion2vec_base's size, its weights random: right for speed and memory, worthless for accuracy.

The released weights serve as well (`--model emotion2vec_base`), where there is a network.
"""

from pathlib import Path

# The values of the released configuration that shape the forward pass.
CONFIG = """\
model: Emotion2vec
model_conf:
  depth: 8
  embed_dim: 768
  num_heads: 12
  mlp_ratio: 4.0
  norm_eps: 1e-05
  norm_affine: true
  layer_norm_first: false
  end_of_block_targets: false
  start_drop_path_rate: 0.0
  end_drop_path_rate: 0.0
  encoder_dropout: 0.1
  attention_dropout: 0.1
  activation_dropout: 0.0
  post_mlp_drop: 0.1
  dropout_input: 0.0
  layerdrop: 0.05
  average_top_k_layers: 8
  clone_batch: 8
  normalize: true
  modalities:
    audio:
      type: AUDIO
      extractor_mode: layer_norm
      feature_encoder_spec: '[(512, 10, 5)] + [(512, 3, 2)] * 4 + [(512,2,2)] + [(512,2,2)]'
      conv_pos_width: 95
      conv_pos_depth: 5
      conv_pos_groups: 16
      conv_pos_pre_ln: false
      prenet_depth: 4
      model_depth: 8
      prenet_layerdrop: 0.05
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
      num_alibi_heads: 12
      decoder: null
"""
METAS = '{"file_path_metas": {"init_param": "emotion2vec_base.pt", "config": "config.yaml"}}\n'


def build(folder: Path, seed: int = 0) -> Path:
    """Make the folder, unless it is there; 375 MB."""
    import torch
    from funasr.models.emotion2vec.model import Emotion2vec
    from omegaconf import OmegaConf

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(CONFIG, encoding="utf-8")
    (folder / "configuration.json").write_text(METAS, encoding="utf-8")
    torch.manual_seed(seed)
    model = Emotion2vec(model_conf=OmegaConf.create(CONFIG).model_conf)
    with torch.no_grad():  # far from the initial values, so that attention is not uniform
        for name, parameter in model.named_parameters():
            if name.endswith("qkv.weight"):
                parameter[: 2 * parameter.shape[0] // 3].mul_(3.0)
            elif parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn(parameter.shape))
    torch.save({"model": model.state_dict()}, folder / "emotion2vec_base.pt")
    return folder
