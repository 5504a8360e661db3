"""Writes fixtures/: what PyTorch and transformers compute, for the tests to hold surefoot against.

    pip install -r scripts/requirements-reference.txt
    python scripts/reference.py                           all of fixtures/ (reads ../shared/data too)
    python scripts/reference.py --sampling                fixtures/sampling/ only
    python scripts/reference.py --shape 0.5b --out DIR    a seeded checkpoint of Qwen2.5-0.5B's shape, for benches/

The same versions on the same kind of CPU write the same bytes. No test runs this script.

fixtures/<family>-<head>/    a checkpoint folder as the hub has them, with random weights, and beside it expected.json:

    source      who computed it: versions, seed, model (the class used), same_ids_by (other code and
                how many sequences it encoded to the same ids; a difference stops the script)
    head        mlp2 | linear2 | vhead (../shared/reference/checkpoints.md C.0 names them)
    family      qwen2 | llama
    separator   the text after each step; a case may bring its own `separator` instead (linear2 only)
    activation  softmax: the second of two outputs' softmax; sigmoid: of the one output
    cases       [{name, problem, steps, ids, reads, hidden, logits, scores}]
                ids      token ids of the whole sequence
                reads    for each step the position in ids where its score is read
                hidden   [steps][hidden_size] final-norm hidden states at the reads
                logits   [steps][1 or 2] outputs of the head
                scores   [steps] probabilities
    causal_lm   where the language model's own head is checked: {text, ids, greedy, top}
                greedy   the most likely next id at each position
                top      [[id, logit]] the 16 largest logits at the last position, largest first

Numbers are f32 in the shortest decimal form that reads back to the same f32. Weights are used as stored, widened to
f32; attention is eager; CPU, one thread.

fixtures/families/<profile>/    the same for one public family (reference/families.py); `starts` where each sequence begins,
    hidden states for two traces only, `logits` [negative, positive] for candidate tokens

fixtures/qwen2_5-tokenizer.json    ids by transformers with the real Qwen2.5 tokenizer:

    source, tokenizer    the file below ../shared/data
    replaced             {old, new, id}: the added token to rename in that tokenizer.json before use
    lines                [{file, row, field, text?, ids}] plain text encoded alone, nothing added, special tokens
                         spelled out in it encoded as text. file is below ../shared/data (null: written for this
                         project); row counts JSON array elements or JSONL lines from 0; text is there where its
                         licence allows.
    prompts              [{file, row, problem, steps, ids, reads}] whole mlp2 sequences by apply_chat_template

fixtures/stories260k/    copied from ../shared/data/models/stories260k: a trained Llama and its 256 greedy ids

fixtures/sampling/    what transformers leaves to draw from, and its greedy texts: reference/sampling.py says the shape
"""

import argparse
from pathlib import Path

import torch
from transformers.utils import logging

from reference import fixtures, sampling, shape

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument(
        "--shape", choices=sorted(shape.SHAPES), help="write a checkpoint of this size, and no fixtures"
    )
    parser.add_argument("--out", type=Path, help="its folder")
    parser.add_argument("--sampling", action="store_true", help="write fixtures/sampling/ only")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if arguments.shape:
        if arguments.out is None:
            parser.error("--shape needs --out DIR")
        shape.write(arguments.shape, arguments.out)
        return
    if not arguments.sampling:
        fixtures.write(ROOT / "fixtures", ROOT.parent / "shared" / "data")
    sampling.write(ROOT)


if __name__ == "__main__":
    main()
