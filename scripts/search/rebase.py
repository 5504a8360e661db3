"""REBASE's expansion counts by torch, for 10,000 inputs: python scripts/search/rebase.py > fixtures/search/rebase.json

Needs torch 2.x. The arithmetic is that of thu-wyz/rebase, `Tree.select_softmax`, at temperature 0.2: in float32, each score in
turn from the highest, its share rounded up and taken from the width and from the sum. torch sums in the order that its vector
unit likes and has an exponential of its own, so where a share is a whole number but for rounding, as that of the last one
always is, another machine may count one more or less.

The inputs are drawn by SplitMix64, so that the fixture need not hold them: case i has 1 to 32 scores and a width of 1 to 64;
every other case has scores from few values, with many ties. A case is written as its counts without the zeros at the end, each
as the character that comes so many after `0`.
"""

import json
import math

import torch

CASES = 10_000
WORD = (1 << 64) - 1


def mixed(x):
    x = (x + 0x9E3779B97F4A7C15) & WORD
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & WORD
    return x ^ (x >> 31)


def drawn(case):
    """Scores, from the highest, and a width."""
    key = mixed(case)
    count, width = 1 + mixed(key ^ 1) % 32, 1 + mixed(key ^ 2) % 64
    grain = 1 << 24 if case % 2 == 0 else 1 + mixed(key ^ 3) % 8
    scores = [(mixed(key ^ (100 + index)) >> 40) / (1 << 24) for index in range(count)]
    # Multiples of 1 / grain, which float32 rounds the same way everywhere.
    rounded = [math.floor(score * grain) / grain for score in scores]
    return sorted(rounded, reverse=True), width


def counts(scores, width, temperature=0.2):
    weights = torch.exp(torch.tensor(scores, dtype=torch.float32) / temperature)
    total = weights.sum()
    given = []
    for weight in weights:
        count = int(math.ceil(width * weight / total))
        given.append(count)
        width -= count
        total = total - weight
    return given


def main():
    cases = ["".join(chr(ord("0") + count) for count in counts(*drawn(case))).rstrip("0") for case in range(CASES)]
    print(json.dumps({"torch": torch.__version__.split("+")[0], "cases": " ".join(cases)}))


if __name__ == "__main__":
    main()
