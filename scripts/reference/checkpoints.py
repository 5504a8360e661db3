"""Tiny checkpoint folders with seeded random weights, in the formats that the hub holds."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForTokenClassification,
    PretrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen2ForTokenClassification,
)

from . import vocabulary

CONFIGS = {"qwen2": Qwen2Config, "llama": LlamaConfig}
TOKEN_CLASSIFIERS = {"qwen2": Qwen2ForTokenClassification, "llama": LlamaForTokenClassification}
CAUSAL_LMS = {"qwen2": Qwen2ForCausalLM, "llama": LlamaForCausalLM}
VOCABULARY = 512


@dataclass(frozen=True)
class Spec:
    """One folder. `written_by` is the major version of transformers whose config.json it has; `tokens` goes into
    tokenizer_config.json."""

    family: str
    head: str
    seed: int
    architecture: str
    sizes: dict
    dtype: torch.dtype = torch.float32
    written_by: int = 5
    shards: int = 1
    sentence_piece: bool = False
    tokens: dict = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.family}-{self.head}"


CHAT = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "model_max_length": 2048}
SPECS = [
    # As Qwen2.5-Math-PRM: shards, a lm_head that nobody reads, an old config.
    Spec(
        "qwen2",
        "mlp2",
        11,
        "Qwen2ForProcessRewardModel",
        dict(hidden_size=32, intermediate_size=48, layers=2, heads=4, kv_heads=2, rope_theta=10000.0, eps=1e-6),
        written_by=4,
        shards=2,
        tokens={**CHAT, "bos_token": None, "chat_template": vocabulary.CHAT_TEMPLATE},
    ),
    # As TRL's trainer saves it.
    Spec(
        "qwen2",
        "linear2",
        12,
        "Qwen2ForTokenClassification",
        dict(hidden_size=32, intermediate_size=48, layers=3, heads=4, kv_heads=1, rope_theta=10000.0, eps=1e-6),
        tokens={**CHAT, "bos_token": None},
    ),
    # As Skywork-o1-Open-PRM-Qwen-2.5-1.5B: tied embeddings, bf16, a BOS token by name.
    Spec(
        "qwen2",
        "vhead",
        13,
        "Qwen2ForPrmModel",
        dict(hidden_size=64, intermediate_size=96, layers=2, heads=8, kv_heads=2, rope_theta=1e6, eps=1e-6, tied=True),
        dtype=torch.bfloat16,
        written_by=4,
        tokens={**CHAT, "bos_token": "<|endoftext|>"},
    ),
    # f16, and heads wider than hidden_size / heads.
    Spec(
        "llama",
        "mlp2",
        14,
        "LlamaForProcessRewardModel",
        dict(
            hidden_size=48,
            intermediate_size=64,
            layers=2,
            heads=4,
            kv_heads=2,
            head_dim=16,
            rope_theta=10000.0,
            eps=1e-6,
        ),
        dtype=torch.float16,
        tokens={**CHAT, "bos_token": None, "chat_template": vocabulary.CHAT_TEMPLATE},
    ),
    # A SentencePiece vocabulary with BOS; Llama 3's theta and epsilon. TRL.
    Spec(
        "llama",
        "linear2",
        15,
        "LlamaForTokenClassification",
        dict(hidden_size=32, intermediate_size=48, layers=2, heads=4, kv_heads=2, rope_theta=500000.0, eps=1e-5),
        sentence_piece=True,
        tokens={
            "bos_token": {"__type": "AddedToken", "content": "<s>", "special": True},
            "eos_token": {"__type": "AddedToken", "content": "</s>", "special": True},
            "unk_token": {"__type": "AddedToken", "content": "<unk>", "special": True},
            "model_max_length": 2048,
        },
    ),
    # Biases on every projection, as Llama's configuration allows.
    Spec(
        "llama",
        "vhead",
        16,
        "LlamaForPrmModel",
        dict(
            hidden_size=32, intermediate_size=48, layers=2, heads=4, kv_heads=4, rope_theta=10000.0, eps=1e-6, bias=True
        ),
        written_by=4,
        tokens={**CHAT, "bos_token": "<|endoftext|>"},
    ),
]


def write(spec: Spec, folder: Path) -> None:
    """config.json, weights, tokenizer.json and tokenizer_config.json."""
    folder.mkdir(parents=True)
    config = configuration(spec)
    if spec.head == "linear2":
        model = TOKEN_CLASSIFIERS[spec.family](config).to(spec.dtype)
        fill(model, spec.seed)
        model.save_pretrained(folder)
    else:
        model = CAUSAL_LMS[spec.family](config)
        _add_head(model, spec.head)
        fill(model, spec.seed)
        tensors = {name: tensor.to(spec.dtype).contiguous() for name, tensor in model.state_dict().items()}
        if config.tie_word_embeddings:
            del tensors["lm_head.weight"]
        _save_weights(tensors, spec.shards, folder)
        config.architectures = [spec.architecture]
        _save_config(config, spec, folder)
    tokenizer = vocabulary.sentence_piece(VOCABULARY) if spec.sentence_piece else vocabulary.byte_level(VOCABULARY)
    vocabulary.save(tokenizer, spec.tokens, folder)


def configuration(spec: Spec) -> PretrainedConfig:
    sizes = dict(spec.sizes)
    bias = sizes.pop("bias", False)
    return CONFIGS[spec.family](
        vocab_size=VOCABULARY,
        hidden_size=sizes["hidden_size"],
        intermediate_size=sizes["intermediate_size"],
        num_hidden_layers=sizes["layers"],
        num_attention_heads=sizes["heads"],
        num_key_value_heads=sizes["kv_heads"],
        max_position_embeddings=2048,
        rms_norm_eps=sizes["eps"],
        rope_parameters={"rope_type": "default", "rope_theta": sizes["rope_theta"]},
        tie_word_embeddings=sizes.get("tied", False),
        num_labels=2,
        dtype=spec.dtype,
        bos_token_id=None,
        eos_token_id=None,
        **({"head_dim": sizes["head_dim"]} if "head_dim" in sizes else {}),
        **({"attention_bias": True, "mlp_bias": True} if bias else {}),
    )


def _add_head(model: PreTrainedModel, head: str) -> None:
    hidden = model.config.hidden_size
    if head == "mlp2":
        model.score = torch.nn.Sequential(torch.nn.Linear(hidden, hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, 2))
    else:
        model.v_head = torch.nn.Module()
        model.v_head.summary = torch.nn.Linear(hidden, 1)


@torch.no_grad()
def fill(model: torch.nn.Module, seed: int) -> None:
    """Normal weights, wide enough that attention is far from uniform, positions matter and scores are spread out."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in sorted(model.named_parameters()):
        drawn = torch.randn(tensor.shape, generator=generator)
        if name.endswith("norm.weight"):
            drawn = 1 + 0.2 * drawn
        elif name.endswith("bias"):
            drawn *= 0.3
        elif "embed_tokens" in name:
            drawn *= 0.02
        else:
            sharp = "q_proj" in name or "k_proj" in name
            drawn *= (1.5 if sharp else 1.0) / math.sqrt(tensor.shape[1])
        tensor.copy_(drawn)


def _save_weights(tensors: dict[str, torch.Tensor], shards: int, folder: Path) -> None:
    if shards == 1:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return
    names = sorted(tensors)
    size = math.ceil(len(names) / shards)
    weight_map = {}
    for shard in range(shards):
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        part = names[shard * size : (shard + 1) * size]
        save_file({name: tensors[name] for name in part}, folder / file, metadata={"format": "pt"})
        weight_map.update(dict.fromkeys(part, file))
    total = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def _save_config(config: PretrainedConfig, spec: Spec, folder: Path) -> None:
    if spec.written_by == 5:
        config.save_pretrained(folder)
        return
    keys = ["vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"]
    keys += ["num_key_value_heads", "max_position_embeddings", "rms_norm_eps", "hidden_act", "tie_word_embeddings"]
    old = {
        "architectures": [spec.architecture],
        "model_type": spec.family,
        **{key: getattr(config, key) for key in keys},
        "rope_theta": spec.sizes["rope_theta"],
        "rope_scaling": None,
        "torch_dtype": str(spec.dtype).removeprefix("torch."),
        "transformers_version": "4.46.3",
        "use_cache": True,
    }
    if spec.family == "qwen2":
        # A window that is switched off, as the published files have it.
        old.update(sliding_window=64, max_window_layers=config.num_hidden_layers, use_sliding_window=False)
    else:
        old.update(attention_bias=config.attention_bias, mlp_bias=config.mlp_bias)
    (folder / "config.json").write_text(json.dumps(old, indent=2, sort_keys=True) + "\n")
