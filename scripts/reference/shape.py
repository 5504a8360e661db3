"""Seeded checkpoints of real sizes, for speed: the numbers mean nothing, the work is that of the real model."""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import Qwen2Config, Qwen2ForTokenClassification

from . import vocabulary
from .checkpoints import CHAT, fill

SHAPES = {
    # For trying a benchmark out.
    "tiny": dict(hidden_size=64, intermediate_size=128, layers=2, heads=4, kv_heads=2, vocab_size=512),
    # Small enough to rescore 16 paths of 40 steps whole at every step.
    "small": dict(hidden_size=384, intermediate_size=1536, layers=12, heads=6, kv_heads=2, vocab_size=512),
    # Qwen2.5's.
    "0.5b": dict(hidden_size=896, intermediate_size=4864, layers=24, heads=14, kv_heads=2, vocab_size=151936),
    "1.5b": dict(hidden_size=1536, intermediate_size=8960, layers=28, heads=12, kv_heads=2, vocab_size=151936),
    "7b": dict(hidden_size=3584, intermediate_size=18944, layers=28, heads=28, kv_heads=4, vocab_size=152064),
}
SEED = 21


def write(shape: str, folder: Path) -> None:
    """A linear2 checkpoint in bf16, a shard for each layer: one layer is in memory at a time."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    sizes = SHAPES[shape]
    config = Qwen2Config(
        vocab_size=sizes["vocab_size"],
        hidden_size=sizes["hidden_size"],
        intermediate_size=sizes["intermediate_size"],
        num_hidden_layers=sizes["layers"],
        num_attention_heads=sizes["heads"],
        num_key_value_heads=sizes["kv_heads"],
        max_position_embeddings=32768,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        tie_word_embeddings=True,
        num_labels=2,
        dtype=torch.bfloat16,
        architectures=["Qwen2ForTokenClassification"],
    )
    config.save_pretrained(folder)
    with torch.device("meta"):
        model = Qwen2ForTokenClassification(config).to(torch.bfloat16)
    ends = torch.nn.ModuleDict({"embed_tokens": model.model.embed_tokens, "norm": model.model.norm})
    parts = {f"model.layers.{at}.": layer for at, layer in enumerate(model.model.layers)}
    parts |= {"model.": ends, "score.": model.score}
    weight_map: dict[str, str] = {}
    size = 0
    for number, (prefix, part) in enumerate(parts.items(), 1):
        part.to_empty(device="cpu")
        fill(part, SEED + number)
        file = f"model-{number:05}-of-{len(parts):05}.safetensors"
        tensors = {prefix + name: tensor.detach() for name, tensor in part.named_parameters()}
        save_file(tensors, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(tensors, file)
        size += sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
        del tensors
        part.to("meta")
    index = {"metadata": {"total_size": size}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")
    vocabulary.save(vocabulary.byte_level(), {**CHAT, "bos_token": None}, folder)
