"""How other projects name the same tensors: our names beside theirs, as tables. Knows no file format.

`{i}` is a block's number. Sources: facebookresearch/TimeSformer a5ef29a, transformers' modeling_timesformer.py and
modeling_vit.py, open-mmlab/mmaction2 4d6c934, timm's vision_transformer.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

LayoutName: TypeAlias = Literal["official", "huggingface", "mmaction2", "mmaction2_one_attention"]


@dataclass(frozen=True, slots=True)
class Layout:
    """`names`: our prefix to theirs, of whole tensors or of modules; the longest that fits holds."""

    mark: str  # a name that only this layout has
    names: Mapping[str, str]


_EMBEDDING = "encoder.embedding."
_BLOCK = "encoder.blocks.{i}."
_TIME = _BLOCK + "patch_steps.0."

_OFFICIAL = {
    _EMBEDDING + "class_D": "cls_token",
    _EMBEDDING + "position_SD": "pos_embed",
    _EMBEDDING + "time_TD": "time_embed",
    _EMBEDDING + "patches": "patch_embed.proj",
    _TIME + "norm": "blocks.{i}.temporal_norm1",
    _TIME + "attention.qkv": "blocks.{i}.temporal_attn.qkv",
    _TIME + "attention.proj": "blocks.{i}.temporal_attn.proj",
    _TIME + "fc": "blocks.{i}.temporal_fc",
    _BLOCK + "norm": "blocks.{i}.norm1",
    _BLOCK + "attention.qkv": "blocks.{i}.attn.qkv",
    _BLOCK + "attention.proj": "blocks.{i}.attn.proj",
    _BLOCK + "mlp_norm": "blocks.{i}.norm2",
    _BLOCK + "mlp_in": "blocks.{i}.mlp.fc1",
    _BLOCK + "mlp_out": "blocks.{i}.mlp.fc2",
    "encoder.norm": "norm",
    "classifier": "head",
}

_LAYER = "timesformer.encoder.layer.{i}."
_HUGGINGFACE = {
    _EMBEDDING + "class_D": "timesformer.embeddings.cls_token",
    _EMBEDDING + "position_SD": "timesformer.embeddings.position_embeddings",
    _EMBEDDING + "time_TD": "timesformer.embeddings.time_embeddings",
    _EMBEDDING + "patches": "timesformer.embeddings.patch_embeddings.projection",
    _TIME + "norm": _LAYER + "temporal_layernorm",
    _TIME + "attention.qkv": _LAYER + "temporal_attention.attention.qkv",
    _TIME + "attention.proj": _LAYER + "temporal_attention.output.dense",
    _TIME + "fc": _LAYER + "temporal_dense",
    _BLOCK + "norm": _LAYER + "layernorm_before",
    _BLOCK + "attention.qkv": _LAYER + "attention.attention.qkv",
    _BLOCK + "attention.proj": _LAYER + "attention.output.dense",
    _BLOCK + "mlp_norm": _LAYER + "layernorm_after",
    _BLOCK + "mlp_in": _LAYER + "intermediate.dense",
    _BLOCK + "mlp_out": _LAYER + "output.dense",
    "encoder.norm": "timesformer.layernorm",
    "classifier": "classifier",
}

_MM = "backbone.transformer_layers.layers.{i}."
_MMACTION2_SHARED = {
    _EMBEDDING + "class_D": "backbone.cls_token",
    _EMBEDDING + "position_SD": "backbone.pos_embed",
    _EMBEDDING + "time_TD": "backbone.time_embed",
    _EMBEDDING + "patches": "backbone.patch_embed.projection",
    _BLOCK + "mlp_in": _MM + "ffns.0.layers.0.0",
    _BLOCK + "mlp_out": _MM + "ffns.0.layers.1",
    "encoder.norm": "backbone.norm",
    "classifier": "cls_head.fc_cls",
}
_MMACTION2_DIVIDED = {
    _TIME + "norm": _MM + "attentions.0.norm",
    _TIME + "attention.qkv.weight": _MM + "attentions.0.attn.in_proj_weight",
    _TIME + "attention.qkv.bias": _MM + "attentions.0.attn.in_proj_bias",
    _TIME + "attention.proj": _MM + "attentions.0.attn.out_proj",
    _TIME + "fc": _MM + "attentions.0.temporal_fc",
    _BLOCK + "norm": _MM + "attentions.1.norm",
    _BLOCK + "attention.qkv.weight": _MM + "attentions.1.attn.in_proj_weight",
    _BLOCK + "attention.qkv.bias": _MM + "attentions.1.attn.in_proj_bias",
    _BLOCK + "attention.proj": _MM + "attentions.1.attn.out_proj",
    _BLOCK + "mlp_norm": _MM + "ffns.0.norm",
    **_MMACTION2_SHARED,
}
_MMACTION2_ONE = {
    _BLOCK + "norm": _MM + "norms.0",
    _BLOCK + "attention.qkv.weight": _MM + "attentions.0.attn.in_proj_weight",
    _BLOCK + "attention.qkv.bias": _MM + "attentions.0.attn.in_proj_bias",
    _BLOCK + "attention.proj": _MM + "attentions.0.attn.out_proj",
    _BLOCK + "mlp_norm": _MM + "norms.1",
    **_MMACTION2_SHARED,
}

LAYOUTS: dict[LayoutName, Layout] = {
    "official": Layout("patch_embed.proj.weight", _OFFICIAL),
    "huggingface": Layout("timesformer.embeddings.cls_token", _HUGGINGFACE),
    "mmaction2": Layout("backbone.transformer_layers.layers.0.ffns.0.norm.weight", _MMACTION2_DIVIDED),
    "mmaction2_one_attention": Layout("backbone.transformer_layers.layers.0.norms.0.weight", _MMACTION2_ONE),
}
"""In the order in which a file is held against them. `mmaction2_one_attention`: joint and space."""

LEFT = ("temporal_temporal_attn",)
"""Parts of names that mean nothing: the authors' loader makes such copies (their issue 68)."""
