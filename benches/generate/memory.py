"""What one stream of tokens can reach at most: the rate of reading memory over the bytes of weights that a token reads.

    python benches/generate/memory.py [--weights FOLDER/bf16.gguf] [--size MIB] [--rounds 20]

One line of JSON: for 1 and 2 threads the median, least and most GB/s (10^9 bytes) of reading one buffer, by the
faster of torch's sum and dot; with --weights also the bytes of its tensors, each of which a token of a model with tied
embeddings reads once, and the tokens per second that follow.
"""

import argparse
import datetime
import json
import os
import statistics
import time
from pathlib import Path

import torch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--size", type=int, default=512, help="MiB")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args()
    buffer = torch.ones(arguments.size << 18)
    before = os.getloadavg()[0]
    reads = [{"threads": threads, **fastest(buffer, threads, arguments.rounds)} for threads in arguments.threads]
    report = {"date": datetime.date.today().isoformat(), "load": [before, os.getloadavg()[0]], "mib": arguments.size}
    if arguments.weights:
        from gguf import GGUFReader

        report["weights"] = sum(int(tensor.n_bytes) for tensor in GGUFReader(arguments.weights).tensors)
        for read in reads:
            read["tokens_per_second"] = round(read["gb_per_second"] * 1e9 / report["weights"], 1)
    print(json.dumps({**report, "reads": reads}))


def fastest(buffer: torch.Tensor, threads: int, rounds: int) -> dict:
    torch.set_num_threads(threads)
    found = [
        {"by": by, **read(buffer, how, rounds)} for by, how in (("sum", buffer.sum), ("dot", lambda: buffer @ buffer))
    ]
    return max(found, key=lambda one: one["gb_per_second"])


def read(buffer: torch.Tensor, how, rounds: int) -> dict:
    how()
    rates = []
    for _ in range(rounds):
        start = time.perf_counter()
        how()
        rates.append(buffer.numel() * buffer.element_size() / (time.perf_counter() - start) / 1e9)
    return {
        "gb_per_second": round(statistics.median(rates), 2),
        "range": [round(min(rates), 2), round(max(rates), 2)],
    }


if __name__ == "__main__":
    main()
