"""Tokens per second that transformers' generate writes with SmolLM2 135M, greedily, as one line of JSON.

    python benches/generate/prompts.py FOLDER
    python benches/generate/torch_rival.py FOLDER --threads 2

{rival, versions, date, cpu, threads, load, prompt, tokens, runs}: `load` of the machine before and after; in `runs`,
for each type and batch, {median, least, most} over rounds of `prefill` (prompt tokens per second until each row has its
first token) and `decode` (new tokens per second of all rows behind that).

The weights are those of FOLDER/bf16.gguf: in float32 widened, the same numbers. All prompts are 64 tokens long, so
nothing is padded; no row ends early. Attention is sdpa, the cache is dynamic: what generate does unless told otherwise.
"""

import argparse
import datetime
import json
import os
import statistics
import time
from pathlib import Path

import torch
import transformers
from transformers import AutoModelForCausalLM, StoppingCriteria, StoppingCriteriaList
from transformers.utils import logging

FLAGS = ("avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16")


class Clock(StoppingCriteria):
    """When each token of all rows was there."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_) -> torch.Tensor:
        self.times.append(time.perf_counter())
        return torch.zeros(len(input_ids), dtype=torch.bool)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--types", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    prompts = torch.tensor([prompt["ids"] for prompt in json.loads((arguments.folder / "prompts.json").read_text())])
    before = os.getloadavg()[0]
    runs = []
    for dtype in arguments.types:
        model = load(arguments.folder, dtype)
        measure(model, prompts[:1], 4)
        for batch in arguments.batches:
            rounds = [measure(model, prompts[:batch], arguments.tokens) for _ in range(arguments.rounds)]
            runs.append({"type": dtype, "batch": batch, **summary(rounds, batch, prompts.shape[1], arguments.tokens)})
        del model
    report = {
        "rival": "transformers",
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "date": datetime.date.today().isoformat(),
        "cpu": cpu(),
        "threads": torch.get_num_threads(),
        "load": [before, os.getloadavg()[0]],
        "prompt": prompts.shape[1],
        "tokens": arguments.tokens,
        "runs": runs,
    }
    print(json.dumps(report))


def load(folder: Path, dtype: str) -> torch.nn.Module:
    kind = getattr(torch, dtype)
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file="bf16.gguf", dtype=kind).eval()
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    return model


@torch.inference_mode()
def measure(model: torch.nn.Module, ids: torch.Tensor, tokens: int) -> tuple[float, float]:
    """Seconds until all rows have their first token, and from there to their last."""
    clock = Clock()
    start = time.perf_counter()
    output = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        use_cache=True,
        max_new_tokens=tokens,
        stopping_criteria=StoppingCriteriaList([clock]),
    )
    if output.shape[1] != ids.shape[1] + tokens or len(clock.times) != tokens:
        raise SystemExit(f"generate wrote {output.shape[1] - ids.shape[1]} tokens, not {tokens}")
    return clock.times[0] - start, clock.times[-1] - clock.times[0]


def summary(rounds: list[tuple[float, float]], batch: int, prompt: int, tokens: int) -> dict:
    return {
        "prefill": rates([batch * prompt / prefill for prefill, _ in rounds]),
        "decode": rates([batch * (tokens - 1) / decode for _, decode in rounds]),
    }


def rates(values: list[float]) -> dict:
    return {
        "median": round(statistics.median(values), 1),
        "least": round(min(values), 1),
        "most": round(max(values), 1),
    }


def cpu() -> dict:
    lines = dict(line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().splitlines() if ":" in line)
    fields = {key.strip(): value.strip() for key, value in lines.items()}
    return {"model": fields["model name"], "flags": [flag for flag in FLAGS if flag in fields["flags"].split()]}


if __name__ == "__main__":
    main()
