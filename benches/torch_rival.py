"""transformers on torch, scoring beside surefoot: benches/engine.ts starts it and talks to it in lines of JSON.

    python benches/torch_rival.py FOLDER --threads N

FOLDER is a linear2 checkpoint (scripts/reference.py --shape). The first line out says who answers; then each line in is a
request and gets one line out:

    {"do": "texts", "traces": [{problem, steps}]}     the texts of what follows, as ids; answers {tokens}
    {"do": "score", "batch", "sorted", "dtype"}       answers {seconds, scores}: padded batches, `sorted` by length
    {"do": "probe", "tokens"}                         seconds of one text of that length in each dtype
    {"do": "matmul", "shapes": [[m, k, n]]}           seconds of x @ W.T in f32, the best of several

Reading texts is not part of any time; padding is.
"""

import argparse
import functools
import json
import sys
import time
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer
from transformers import AutoModelForTokenClassification
from transformers.utils import logging


class Rival:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.sequences: list[torch.Tensor] = []
        self.reads: list[list[int]] = []

    @functools.cache  # noqa: B019
    def model(self, dtype: str) -> torch.nn.Module:
        kind = getattr(torch, dtype)
        return AutoModelForTokenClassification.from_pretrained(self.folder, dtype=kind).eval()

    def texts(self, traces: list[dict]) -> dict:
        self.sequences, self.reads = [], []
        for trace in traces:
            ids, reads = self._ids(trace["problem"]), []
            for step in trace["steps"]:
                ids += self._ids(step) + self._ids("\n")
                reads.append(len(ids) - 1)
            self.sequences.append(torch.tensor(ids))
            self.reads.append(reads)
        return {"tokens": [len(ids) for ids in self.sequences]}

    def score(self, batch: int, sorted: bool, dtype: str) -> dict:  # noqa: A002
        order = list(range(len(self.sequences)))
        if sorted:
            order.sort(key=lambda at: len(self.sequences[at]))
        model = self.model(dtype)
        scores: list[list[float]] = [[] for _ in order]
        start = time.perf_counter()
        for begin in range(0, len(order), batch):
            part = order[begin : begin + batch]
            sequences = [self.sequences[at] for at in part]
            if len({len(ids) for ids in sequences}) == 1:
                logits = model(torch.stack(sequences)).logits
            else:
                pad = functools.partial(torch.nn.utils.rnn.pad_sequence, batch_first=True)
                mask = pad([torch.ones_like(ids) for ids in sequences])
                logits = model(pad(sequences), attention_mask=mask).logits
            for row, at in enumerate(part):
                scores[at] = logits[row, self.reads[at]].float().softmax(-1)[:, 1].tolist()
        return {"seconds": time.perf_counter() - start, "scores": scores}

    def probe(self, tokens: int) -> dict:
        ids = torch.randint(5, 500, (1, tokens), generator=torch.Generator().manual_seed(1))
        seconds = {}
        for dtype in ("float32", "bfloat16"):
            model = self.model(dtype)
            model(ids[:, :8])
            start = time.perf_counter()
            model(ids)
            seconds[dtype] = time.perf_counter() - start
        if seconds["bfloat16"] > seconds["float32"]:
            self.model.cache_clear()
            self.model("float32")
        return seconds

    def matmul(self, shapes: list[list[int]]) -> dict:
        def seconds(m: int, k: int, n: int) -> float:
            # Enough matrices that they come from memory, as those of a model's layers do.
            x, weights = torch.randn(m, k), [torch.randn(n, k) for _ in range((96 << 20) // (4 * n * k) + 1)]
            taken = []
            for weight in [*weights, *weights]:
                start = time.perf_counter()
                x @ weight.T
                taken.append(time.perf_counter() - start)
            return min(taken)

        return {"seconds": [seconds(*shape) for shape in shapes]}

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False).ids


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    logging.disable_progress_bar()
    rival = Rival(arguments.folder)
    say(
        {
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "threads": torch.get_num_threads(),
            "cpu": torch.backends.cpu.get_cpu_capability(),
            "amx": torch.cpu._is_amx_tile_supported(),
            "attention": "sdpa",
        }
    )
    with torch.inference_mode():
        for line in sys.stdin:
            request = json.loads(line)
            say(getattr(rival, request.pop("do"))(**request))


def say(answer: dict) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
