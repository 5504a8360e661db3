"""Seeded checkpoints of real sizes, for speed: the numbers mean nothing, the work is that of the real model."""

import json
import shutil
from pathlib import Path

import torch
from transformers import Qwen2Config, Qwen2ForTokenClassification

from . import prompts, vocabulary
from .checkpoints import CHAT, fill
from .texts import TRACES, Trace

SHAPES = {
    # Qwen2.5-0.5B.
    "0.5b": dict(hidden_size=896, intermediate_size=4864, layers=24, heads=14, kv_heads=2, vocab_size=151936),
}
SEED = 21
# Tokens of the sequences to score: ragged, 256 on average.
LENGTHS = [96, 144, 192, 240, 272, 320, 368, 416]


def write(shape: str, folder: Path) -> None:
    """A linear2 checkpoint in bf16, traces.jsonl to score and tokens.json, the ids of the same traces."""
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
    )
    with torch.device("meta"):
        model = Qwen2ForTokenClassification(config)
    model = model.to(torch.bfloat16).to_empty(device="cpu")
    fill(model, SEED)
    model.save_pretrained(folder)
    vocabulary.save(vocabulary.byte_level(), {**CHAT, "bos_token": None}, folder)
    encoder = prompts.Encoder(vocabulary.load(folder))
    traces = [_trace(encoder, length) for length in LENGTHS]
    lines = [json.dumps({"problem": trace.problem, "steps": trace.steps}) for trace in traces]
    (folder / "traces.jsonl").write_text("\n".join(lines) + "\n")
    ids = [prompts.linear2(encoder, trace, "\n")[0] for trace in traces]
    (folder / "tokens.json").write_text(json.dumps(ids) + "\n")


def _trace(encoder: prompts.Encoder, length: int) -> Trace:
    """A trace of exactly that many tokens: steps of one text, then digits, each a token, to fill up."""
    problem = TRACES[1].problem
    steps: list[str] = []
    for step in TRACES[1].steps:
        if len(prompts.linear2(encoder, Trace("", problem, [*steps, step, "1"]), "\n")[0]) > length:
            break
        steps.append(step)
    missing = length - len(prompts.linear2(encoder, Trace("", problem, steps), "\n")[0]) - 1
    trace = Trace("", problem, [*steps, "1" * missing])
    if len(prompts.linear2(encoder, trace, "\n")[0]) != length:
        raise SystemExit(f"no trace of {length} tokens")
    return trace
