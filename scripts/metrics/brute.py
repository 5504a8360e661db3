"""Selection rules by going through every subset."""

from itertools import combinations
from math import isclose
from statistics import fmean


def over_subsets(n, k, chance):
    return fmean(chance(subset) for subset in combinations(range(n), k))


def best_of(answers, correct, scores, k):
    """The chance that the best of k is right; candidates that tie share it, and one without an answer is never chosen."""

    def chance(subset):
        answered = [i for i in subset if answers[i] is not None]
        if not answered:
            return 0.0
        top = max(scores[i] for i in answered)
        return fmean(correct[i] for i in answered if scores[i] == top)

    return over_subsets(len(answers), k, chance)


def vote(answers, correct, votes, k):
    """The chance that the answer with most votes is right; answers that tie share it."""

    def chance(subset):
        sums, members = {}, {}
        for i in subset:
            if answers[i] is not None:
                sums[answers[i]] = sums.get(answers[i], 0) + votes[i]
                members.setdefault(answers[i], []).append(correct[i])
        if not sums:
            return 0.0
        top = max(sums.values())
        return fmean(fmean(members[a]) for a, s in sums.items() if isclose(s, top, rel_tol=1e-12))

    return over_subsets(len(answers), k, chance)


def passes(correct, k):
    return over_subsets(len(correct), k, lambda subset: float(any(correct[i] for i in subset)))
