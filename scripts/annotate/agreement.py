"""Recomputes the agreement of judges from their votes, by the definitions, with nothing but the standard library:

    agreement.py VOTES.json > EXPECTED.json

VOTES.json holds {"judges": [...], "rows": [{"problem": n, "steps": n, "votes": [...]}]}: a vote is the index of the first
wrong step, -1 for none, null where the judge cannot say. What is computed is what summary.json of `surefoot annotate
consensus` calls `agreement`, and which rows each rule keeps. Everything is counted row by row; nothing is shared with the
implementation in TypeScript but the numbers drawn by the bootstrap, whose generator is written out again below.
"""

import json
import math
import sys
from fractions import Fraction
from itertools import combinations

RESAMPLES = 200
SEED = 1
STEPS = 32


def draws(seed):
    """randomNumbers of src/evaluate/random.ts."""
    state = seed & 0xFFFFFFFF
    while True:
        state = (state + 0x9E3779B9) & 0xFFFFFFFF
        bits = ((state ^ (state >> 16)) * 0x21F0AAAD) & 0xFFFFFFFF
        bits = ((bits ^ (bits >> 15)) * 0x735A2D97) & 0xFFFFFFFF
        yield (bits ^ (bits >> 15)) / 2**32


def ratio(top, bottom):
    return None if bottom == 0 else Fraction(top) / Fraction(bottom)


def kappa(observed, expected):
    if observed is None or expected is None or expected == 1:
        return None
    return (observed - expected) / (1 - expected)


def raw(items):
    """Mean over the items with two votes or more of the share of pairs that agree."""
    shares = []
    for votes in items:
        given = [vote for vote in votes if vote is not None]
        if len(given) >= 2:
            pairs = list(combinations(given, 2))
            shares.append(Fraction(sum(a == b for a, b in pairs), len(pairs)))
    return ratio(sum(shares), len(shares))


def unanimous(items):
    return ratio(sum(None not in votes and len(set(votes)) == 1 for votes in items), len(items))


def fleiss(items, complete):
    """Fleiss 1971 with `complete`; else Gwet 2014: the share of a category is the mean over the items with a vote."""
    if complete:
        items = [votes for votes in items if None not in votes]
    given = [[vote for vote in votes if vote is not None] for votes in items]
    given = [votes for votes in given if votes]
    if not given:
        return None
    categories = {vote for votes in given for vote in votes}
    shares = [sum(Fraction(votes.count(c), len(votes)) for votes in given) / len(given) for c in categories]
    return kappa(raw(items), sum(share**2 for share in shares))


def pair(items, a, b):
    return [(votes[a], votes[b]) for votes in items if votes[a] is not None and votes[b] is not None]


def cohen(items, a, b):
    both = pair(items, a, b)
    if not both:
        return None
    observed = Fraction(sum(x == y for x, y in both), len(both))
    categories = {vote for votes in both for vote in votes}
    expected = sum(
        Fraction(sum(x == c for x, _ in both), len(both)) * Fraction(sum(y == c for _, y in both), len(both))
        for c in categories
    )
    return kappa(observed, expected)


def same(items, a, b):
    both = pair(items, a, b)
    return ratio(sum(x == y for x, y in both), len(both))


def label(vote, step):
    if vote == -1 or step < vote:
        return 1
    return 0 if step == vote else None


def by_step(rows, at):
    """Agreeing pairs and all pairs of judges that both label the step."""
    agree = pairs = 0
    for row in rows:
        last = row["steps"] if at == STEPS - 1 else min(row["steps"], at + 1)
        for step in range(at, last):
            said = [label(vote, step) for vote in row["votes"] if vote is not None]
            said = [value for value in said if value is not None]
            for x, y in combinations(said, 2):
                pairs += 1
                agree += x == y
    return agree, pairs


def named(votes):
    """The step that more judges name than any other, two at least."""
    places = [vote for vote in votes if vote is not None and vote >= 0]
    counts = sorted(((places.count(p), p) for p in set(places)), reverse=True)
    if not counts or counts[0][0] < 2 or (len(counts) > 1 and counts[0][0] == counts[1][0]):
        return None
    return counts[0][1]


def by_offset(rows, offset):
    there = all_votes = 0
    for row in rows:
        error = named(row["votes"])
        if error is None:
            continue
        for vote in row["votes"]:
            if vote is None:
                continue
            all_votes += 1
            where = None if vote == -1 else max(-5, min(5, vote - error))
            there += where == offset
    return there, all_votes


def quantile(values, share):
    at = share * (len(values) - 1)
    low, high = values[math.floor(at)], values[math.ceil(at)]
    return low + (at - math.floor(at)) * (high - low)


class Bootstrap:
    """Problems are drawn with repetition, in the order in which they came."""

    def __init__(self, rows):
        self.rows = rows
        self.problems = list(dict.fromkeys(row["problem"] for row in rows))
        of = {problem: [row for row in rows if row["problem"] == problem] for problem in self.problems}
        numbers = draws(SEED)
        self.samples = []
        for _ in range(RESAMPLES):
            drawn = [self.problems[math.floor(next(numbers) * len(self.problems))] for _ in self.problems]
            self.samples.append([row for problem in drawn for row in of[problem]])

    def estimate(self, statistic):
        value = statistic(self.rows)
        if value is None:
            return None
        found = [statistic(sample) for sample in self.samples]
        found = sorted(float(number) for number in found if number is not None)
        return {"value": float(value), "low": quantile(found, 0.025), "high": quantile(found, 0.975)}


def agreement(bootstrap, judges, category):
    def over(statistic):
        return bootstrap.estimate(
            lambda rows: statistic([[None if v is None else category(v) for v in row["votes"]] for row in rows])
        )

    items = [[None if v is None else category(v) for v in row["votes"]] for row in bootstrap.rows]
    return {
        "raw": over(raw),
        "unanimous": over(unanimous),
        "fleiss": over(lambda given: fleiss(given, True)),
        "fleissWithMissing": over(lambda given: fleiss(given, False)),
        "pairs": [
            {
                "judges": [a, b],
                "solutions": len(pair(items, a, b)),
                "raw": over(lambda given, a=a, b=b: same(given, a, b)),
                "cohen": over(lambda given, a=a, b=b: cohen(given, a, b)),
            }
            for a, b in combinations(range(judges), 2)
        ],
    }


def kept(rows, need, category):
    """Which rows have at least so many equal votes, and more than any other."""
    keep = []
    for row in rows:
        votes = [category(vote) for vote in row["votes"] if vote is not None]
        counts = sorted((votes.count(value) for value in set(votes)), reverse=True)
        alone = len(counts) == 1 or (counts and counts[0] > counts[1])
        keep.append(bool(counts) and alone and counts[0] >= need)
    return keep


def main():
    data = json.load(open(sys.argv[1], encoding="utf-8"))
    rows, judges = data["rows"], len(data["judges"])
    bootstrap = Bootstrap(rows)
    steps = range(min(STEPS, max(row["steps"] for row in rows)))
    expected = {
        "resamples": RESAMPLES,
        "seed": SEED,
        "solutions": len(rows),
        "complete": sum(None not in row["votes"] for row in rows),
        "judges": [
            {
                "spoke": sum(row["votes"][judge] is not None for row in rows),
                "right": sum(row["votes"][judge] == -1 for row in rows),
            }
            for judge in range(judges)
        ],
        "location": agreement(bootstrap, judges, lambda vote: vote),
        "correctness": agreement(bootstrap, judges, lambda vote: min(vote, 0)),
        "byStep": [
            {
                "step": step,
                "pairs": by_step(rows, step)[1],
                "agreement": bootstrap.estimate(lambda given, step=step: ratio(*by_step(given, step))),
            }
            for step in steps
            if by_step(rows, step)[1] > 0
        ],
        "byOffset": [
            {
                "offset": offset,
                "votes": by_offset(rows, offset)[0],
                "share": bootstrap.estimate(lambda given, offset=offset: ratio(*by_offset(given, offset))),
            }
            for offset in [*range(-5, 6), None]
        ],
        "kept": {
            "location": {str(need): kept(rows, need, lambda vote: vote) for need in range(2, judges + 1)},
            "correctness": {str(need): kept(rows, need, lambda vote: vote >= 0) for need in range(2, judges + 1)},
        },
    }
    json.dump(expected, sys.stdout)
    sys.stdout.write("\n")


main()
