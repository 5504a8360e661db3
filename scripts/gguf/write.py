"""Writes fixtures/gguf-*: the checkpoints of fixtures/families as GGUF files, through the `gguf` package.

    pip install -r scripts/requirements-reference.txt -r scripts/gguf/requirements.txt
    python scripts/gguf/write.py

A file in f32 or bf16 holds the very weights of its family, so that expected.json there holds for it too. For a quantised
file, expected.json beside it is what transformers computes from it (`gguf_file=`). fixtures/gguf-types has a tensor of
each type and the numbers that `gguf.quants.dequantize` makes of it.
"""

import json
import math
from pathlib import Path

import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from gguf import GGUFWriter, RopeScalingType, TokenType, quants
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel, AutoTokenizer

ROOT = Path(__file__).resolve().parent.parent.parent
FIXTURES = ROOT / "fixtures"
HEADS = ("score.", "score_head.", "v_head.")

# name, family, type of the matrices, whether the head goes into a file of its own
FILES = [
    ("rlhflow-deepseek", "rlhflow-deepseek", Type.BF16, False),
    ("math-shepherd", "math-shepherd", Type.BF16, False),
    ("reasonflux", "reasonflux", Type.BF16, False),
    ("trl", "trl", Type.F32, True),
    ("versaprm", "versaprm", Type.F16, False),
    ("reasoneval-34b", "reasoneval-34b", Type.BF16, True),
    ("rlhflow-q8_0", "rlhflow-deepseek", Type.Q8_0, False),
    ("reasonflux-q4_0", "reasonflux", Type.Q4_0, False),
]


def main() -> None:
    for name, family, kind, apart in FILES:
        folder = FIXTURES / f"gguf-{name}"
        folder.mkdir(exist_ok=True)
        convert(FIXTURES / "families" / family, folder, kind, apart)
        if kind not in (Type.F32, Type.BF16):
            expect(family, folder)
    types(FIXTURES / "gguf-types")


def convert(source: Path, folder: Path, kind: Type, apart: bool) -> None:
    config = json.loads((source / "config.json").read_text())
    tensors = load_file(source / "model.safetensors")
    architecture = {"mistral": "llama"}.get(config["model_type"], config["model_type"])
    writer = GGUFWriter(folder / "model.gguf", architecture)
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_rope_dimension_count(head_dim)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    if config["model_type"] == "mistral" and config.get("sliding_window"):
        writer.add_sliding_window(config["sliding_window"])
    add_rope(writer, config, head_dim)
    add_tokenizer(writer, source)
    apart_tensors = {}
    for name, tensor in tensors.items():
        if name.startswith(HEADS) and apart:
            apart_tensors[name] = tensor
            continue
        if name == "lm_head.weight" and config.get("tie_word_embeddings"):
            continue
        values = tensor.float().numpy()
        if architecture == "llama" and ("q_proj" in name or "k_proj" in name):
            values = interleave(values, heads if "q_proj" in name else kv_heads)
        stored = kind if values.ndim == 2 and not name.startswith(HEADS) else Type.F32
        if values.shape[-1] % quants.GGML_QUANT_SIZES[stored][0]:
            stored = Type.F16
        writer.add_tensor(gguf_name(name), quants.quantize(np.ascontiguousarray(values), stored), raw_dtype=stored)
    if apart_tensors:
        save_file(apart_tensors, folder / "head.safetensors")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def interleave(values: np.ndarray, heads: int) -> np.ndarray:
    """Each head's first and second half alternate, as llama's files have them."""
    return values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:]).swapaxes(1, 2).reshape(values.shape)


def add_rope(writer: GGUFWriter, config: dict, head_dim: int) -> None:
    rope = config.get("rope_parameters") or {**(config.get("rope_scaling") or {}), "rope_theta": config["rope_theta"]}
    theta = rope["rope_theta"]
    writer.add_rope_freq_base(theta)
    match rope.get("rope_type", "default"):
        case "linear":
            writer.add_rope_scaling_type(RopeScalingType.LINEAR)
            writer.add_rope_scaling_factor(rope["factor"])
        case "yarn":
            writer.add_rope_scaling_type(RopeScalingType.YARN)
            writer.add_rope_scaling_factor(rope["factor"])
            writer.add_rope_scaling_orig_ctx_len(int(rope["original_max_position_embeddings"]))
        case "llama3":
            # As llama.cpp's converter writes Llama 3.1's scaling: factors on the wavelengths.
            factors = []
            for plane in range(head_dim // 2):
                turns = rope["original_max_position_embeddings"] * theta ** (-2 * plane / head_dim) / (2 * math.pi)
                low, high = rope["low_freq_factor"], rope["high_freq_factor"]
                kept = min(max((turns - low) / (high - low), 0), 1)
                factors.append(1 / ((1 - kept) / rope["factor"] + kept))
            writer.add_tensor("rope_freqs.weight", np.array(factors, dtype=np.float32))


NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def gguf_name(name: str) -> str:
    module, _, kind = name.rpartition(".")
    if module.startswith("model.layers."):
        _, _, layer, part = module.split(".", 3)
        return f"blk.{layer}.{NAMES[part]}.{kind}"
    return f"{NAMES[module]}.{kind}" if module in NAMES else name


def add_tokenizer(writer: GGUFWriter, source: Path) -> None:
    tokenizer = json.loads((source / "tokenizer.json").read_text())
    config = json.loads((source / "tokenizer_config.json").read_text())
    model, added = tokenizer["model"], tokenizer["added_tokens"]
    ids = {**model["vocab"], **{token["content"]: token["id"] for token in added}}
    tokens = sorted(ids, key=ids.get)
    assert [ids[token] for token in tokens] == list(range(len(tokens)))
    kinds = {token["content"]: TokenType.CONTROL if token["special"] else TokenType.USER_DEFINED for token in added}
    merges = [tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge) for merge in model["merges"]]
    if model["byte_fallback"]:
        writer.add_tokenizer_model("llama")
        kinds |= {token: TokenType.BYTE for token in tokens if token.startswith("<0x")}
        kinds["<unk>"] = TokenType.UNKNOWN
        ranks = {}
        for rank, (left, right) in enumerate(merges):
            ranks.setdefault(left + right, rank)
        # As in Llama's vocabulary: the score of a piece is minus its rank, and single characters come last.
        scores = [0.0 if token in kinds else -float(ranks.get(token, len(merges) + ids[token])) for token in tokens]
        writer.add_token_scores(scores)
    else:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("qwen2")
        writer.add_token_merges([" ".join(merge) for merge in merges])
    writer.add_token_list(tokens)
    writer.add_token_types([kinds.get(token, TokenType.NORMAL) for token in tokens])
    for name, add in [("bos_token", writer.add_bos_token_id), ("eos_token", writer.add_eos_token_id)]:
        token = config.get(name)
        if token is not None:
            add(ids[token["content"] if isinstance(token, dict) else token])
    writer.add_add_bos_token(config.get("bos_token") is not None)
    if config.get("chat_template"):
        writer.add_chat_template(config["chat_template"])


@torch.no_grad()
def expect(family: str, folder: Path) -> None:
    """Hidden states by transformers from the GGUF file, at the reads of the family's first cases.

    transformers reads no rope_freqs.weight: the rope is that of the family's config.json.
    """
    config = AutoConfig.from_pretrained(folder, gguf_file="model.gguf")
    config.rope_parameters = json.loads((FIXTURES / "families" / family / "config.json").read_text())["rope_parameters"]
    model = AutoModel.from_pretrained(
        folder, gguf_file="model.gguf", config=config, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file="model.gguf")
    cases = []
    for case in json.loads((FIXTURES / "families" / family / "expected.json").read_text())["cases"][:4]:
        if "starts" in case:
            continue
        hidden = model(torch.tensor([case["ids"]])).last_hidden_state[0, case["reads"]]
        text = case["problem"] + "\n" + "\n".join(case["steps"])
        cases.append(
            {
                "name": case["name"],
                "ids": case["ids"],
                "reads": case["reads"],
                "hidden": shortest(hidden),
                "text": text,
                "text_ids": tokenizer(text, add_special_tokens=False)["input_ids"],
            }
        )
    source = "transformers 5.23.0, gguf_file=, f32"
    (folder / "expected.json").write_text(json.dumps({"source": source, "family": family, "cases": cases}) + "\n")


def shortest(values) -> list:
    """f32 in the shortest decimal form that reads back to the same number."""
    array = np.asarray(values, dtype=np.float32)
    return [shortest(row) for row in array] if array.ndim > 1 else [float(str(value)) for value in array]


def types(folder: Path) -> None:
    """Random blocks of each type, with scales of a usual size."""
    folder.mkdir(exist_ok=True)
    random = np.random.default_rng(7)
    writer = GGUFWriter(folder / "model.gguf", "llama")
    writer.add_head_count(1)
    # Where the f16 scales of a block of K-quants lie.
    scales = {Type.Q2_K: (80, 82), Type.Q3_K: (108,), Type.Q4_K: (0, 2), Type.Q5_K: (0, 2), Type.Q6_K: (208,)}
    expected = {}
    plain = (Type.F32, Type.F16, Type.BF16, Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0)
    for kind in (*plain, *scales):
        if kind in scales:
            data = random.integers(0, 256, (3, quants.GGML_QUANT_SIZES[kind][1]), dtype=np.uint8)
            for at in scales[kind]:
                data[:, at : at + 2] = random.normal(0, 0.02, (3, 1)).astype(np.float16).view(np.uint8)
        else:
            data = quants.quantize(random.normal(0, 1, (3, 64)).astype(np.float32), kind)
        writer.add_tensor(f"test.{kind.name.lower()}", data, raw_dtype=kind)
        expected[f"test.{kind.name.lower()}"] = shortest(quants.dequantize(data, kind))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    (folder / "expected.json").write_text(json.dumps({"source": "gguf 0.19.0, quants.dequantize", "rows": expected}) + "\n")


if __name__ == "__main__":
    main()
