"""The golden vectors of algorithms.md 3.7, each computed anew. Those of search and annotation wait for their code."""

from itertools import combinations
from math import comb, log, sqrt
from statistics import fmean

import numpy as np
from scipy.special import softmax
from scipy.stats import gmean, hmean
from sklearn.metrics import log_loss

import aggregates


def rebase(shares, width):
    """Each in turn has its share rounded up, as far as the width goes."""
    given = []
    for share in shares:
        given.append(min(int(np.ceil(share)), width - sum(given)))
    return given


def build():
    accuracies = [(72.0, 96.4), (68.0, 90.4), (55.7, 85.5), (55.2, 83.0)]
    scores = [0.9, 0.8, 0.3]
    wins = np.bincount([min(subset) for subset in combinations(range(5), 3)], minlength=5) / comb(5, 3)
    pure = np.array([0.9, 0.8, -0.2])
    odds = np.array([0.9, 0.7, 0.2]) / (1 - np.array([0.9, 0.7, 0.2]))
    shares = softmax(np.array([0.9, 0.7, 0.2]) / 0.2) * 16
    rewards = np.array([0.8, 0.6])
    count, mean = len(rewards), rewards.mean()
    spread = ((rewards - mean) ** 2).sum()
    return {
        "source": "algorithms.md 3.7, computed by scripts/metrics/golden.py",
        "metrics": {
            "processBench": [{"wrong": a, "right": b, "f1": float(hmean([a, b]))} for a, b in accuracies],
            "processBenchMean": fmean(round(float(hmean(pair)), 2) for pair in accuracies),
            "passAtK": {"n": 10, "correct": 3, "k": 5, "value": 1 - comb(7, 5) / comb(10, 5)},
            "prmAt3Of5": wins.tolist(),
            "logLoss": {"predicted": scores, "outcomes": [1, 1, 0], "value": float(log_loss([1, 1, 0], scores))},
            "aggregates": {"scores": scores, **aggregates.of(scores), "geometricMean": float(gmean(scores))},
            "pure": {"scores": pure.tolist(), "softmin": float(softmax(-pure / 0.1) @ pure)},
        },
        "waiting": {
            "uct": 0.6 + sqrt(2) * sqrt(log(10) / 3),
            "wuUct": 0.6 + sqrt(2) * sqrt(log(10 + 2) / (3 + 1)),
            "openrPuct": 0.6 + 0.25 * (log((10 + 19652 + 1) / 19652) + 1.25) * sqrt(10) / (3 + 1),
            "omegaPrmQ": 0.5 ** (1 - 0.75) * 0.9 ** (200 / 500),
            "omegaPrmU": 0.125 * sqrt(25) / (1 + 4),
            "rebase": rebase(shares, 16),
            "particleWeights": (odds / odds.sum()).tolist(),
            "abMcts": {
                "m": count * mean / (1 + count),
                "kappa": 1 + count,
                "nu": 1 + count,
                "tau2": (1 * 0.1 + spread + count / (1 + count) * mean**2) / (1 + count),
            },
            "progressRatios": [0.5 / 0.625, 0.375 / 0.5],
        },
    }
