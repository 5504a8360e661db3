"""Tokens per second of transformers on torch in f32, the rival of surefoot's scoring.

    python scripts/reference.py --shape 0.5b --out DIR
    python benches/torch_forward.py DIR [--threads N] [--attention sdpa|eager] [--repeats N]

Scores the ragged sequences of DIR/tokens.json (the ids of DIR/traces.jsonl) in two ways, one at a time and as one
padded batch, and prints JSON. `tokens_per_second` is the better of the two medians; padding does not count as work.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import transformers
from transformers import AutoModelForTokenClassification
from transformers.utils import logging


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--attention", choices=["sdpa", "eager"], default="sdpa")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    logging.disable_progress_bar()
    model = AutoModelForTokenClassification.from_pretrained(
        arguments.folder, dtype=torch.float32, attn_implementation=arguments.attention
    ).eval()
    sequences = [torch.tensor(ids) for ids in json.loads((arguments.folder / "tokens.json").read_text())]
    tokens = sum(len(ids) for ids in sequences)
    padded = torch.nn.utils.rnn.pad_sequence(sequences, batch_first=True)
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(ids) for ids in sequences], batch_first=True)

    def one_by_one() -> list[torch.Tensor]:
        return [model(ids[None]).logits[0] for ids in sequences]

    def batched() -> list[torch.Tensor]:
        logits = model(padded, attention_mask=mask).logits
        return [row[: len(ids)] for row, ids in zip(logits, sequences, strict=True)]

    with torch.inference_mode():
        # Also the warm-up. The two ways must compute the same before their speed is compared.
        gap = max((a - b).abs().max().item() for a, b in zip(one_by_one(), batched(), strict=True))
        if gap > 1e-2:
            raise SystemExit(f"padded and single logits differ by {gap}")
        speeds = {way.__name__: tokens / _median_seconds(way, arguments.repeats) for way in (one_by_one, batched)}
    report = {
        "tokens_per_second": round(max(speeds.values()), 1),
        **{way: round(speed, 1) for way, speed in speeds.items()},
        "sequences": len(sequences),
        "tokens": tokens,
        "threads": torch.get_num_threads(),
        "attention": arguments.attention,
        "dtype": "float32",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "cpu": torch.backends.cpu.get_cpu_capability(),
    }
    print(json.dumps(report))


def _median_seconds(work: Callable[[], list[torch.Tensor]], repeats: int) -> float:
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
