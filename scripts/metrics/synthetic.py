"""Seeded rows, and what numpy, scipy and scikit-learn say of them."""

import numpy as np
from scipy.stats import binomtest, bootstrap, hypergeom
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, cohen_kappa_score, log_loss, roc_auc_score

import brute
import draws


def build():
    random = np.random.default_rng(20261124)
    return {
        "source": "numpy's default_rng(20261124); made for this project, Apache-2.0",
        "classification": classification(random),
        "agreement": agreement(random),
        "mcnemar": [mcnemar(a, b) for a, b in [(0, 0), (1, 0), (5, 5), (3, 12), (12, 3), (40, 61), (900, 1020)]],
        "gPass": g_pass(),
        "votes": [candidates(random) for _ in range(12)],
        "bootstrap": resampling(random),
        "budget": budget(),
        "logistic": logistic(random),
    }


def classification(random):
    """Scores with ties, labels that follow them, and how often each item counts."""
    scores = np.round(random.uniform(0.003, 0.997, 120), 3)
    scores[::4] = np.round(scores[::4], 1) + 0.012
    scores = np.clip(scores, 0, 1).round(3)
    labels = random.uniform(size=120) < 0.2 + 0.6 * scores
    weights = random.integers(0, 4, 120)

    def all_of(weight):
        bins = np.minimum((scores * 10).astype(int), 9)
        sums = lambda values: np.bincount(bins, values, 10)
        return {
            "auc": roc_auc_score(labels, scores, sample_weight=weight),
            "brier": brier_score_loss(labels, scores, sample_weight=weight),
            "logLoss": log_loss(labels, scores, sample_weight=weight),
            "ece": np.abs(sums(weight * scores) - sums(weight * labels)).sum() / weight.sum(),
        }

    bins = np.minimum((scores * 10).astype(int), 9)
    return {
        "scores": scores.tolist(),
        "labels": labels.tolist(),
        "weights": weights.tolist(),
        "expected": {
            "plain": all_of(np.ones(120)),
            "weighted": all_of(weights.astype(float)),
            "reliability": [
                {
                    "low": bin / 10,
                    "high": (bin + 1) / 10,
                    "count": int((bins == bin).sum()),
                    "score": scores[bins == bin].mean(),
                    "frequency": labels[bins == bin].mean(),
                }
                for bin in range(10)
                if (bins == bin).any()
            ],
        },
    }


def fleiss(ratings):
    """Fleiss 1971, equations 1 to 5, on the table of counts of each category by item."""
    table = np.array([np.bincount(item, minlength=4) for item in ratings])
    items, raters = table.shape[0], table.sum(axis=1)[0]
    share = table.sum(axis=0) / (items * raters)
    agree = ((table**2).sum(axis=1) - raters) / (raters * (raters - 1))
    return (agree.mean() - (share**2).sum()) / (1 - (share**2).sum())


def agreement(random):
    truth = random.integers(0, 4, 60)
    ratings = np.where(random.uniform(size=(5, 60)) < 0.6, truth, random.integers(0, 4, (5, 60)))
    return {
        "ratings": ratings.T.tolist(),
        "expected": {
            "raw": float((ratings[0] == ratings[1]).mean()),
            "cohen": cohen_kappa_score(ratings[0], ratings[1]),
            "fleiss": fleiss(ratings.T),
        },
    }


def mcnemar(only_a, only_b):
    p = binomtest(only_a, only_a + only_b, 0.5).pvalue if only_a + only_b else 1.0
    return {"onlyA": only_a, "onlyB": only_b, "p": p}


def g_pass():
    def g(n, c, k, least):
        return float(hypergeom.sf(least - 1, n, c, k))

    return [
        {
            "n": n,
            "correct": c,
            "k": k,
            "thresholds": {str(t): g(n, c, k, max(1, int(np.ceil(round(k * t, 9))))) for t in (0, 0.25, 0.5, 0.6, 0.75, 1)},
            "mean": 2 / k * sum(g(n, c, k, i) for i in range(-(-k // 2) + 1, k + 1)),
        }
        for n, c, k in [(1, 1, 1), (8, 4, 5), (16, 0, 4), (16, 16, 4), (48, 30, 16), (200, 3, 100), (2000, 900, 600)]
    ]


def candidates(random):
    """Up to ten candidates; every rule at every k by going through all subsets."""
    n = int(random.integers(2, 11))
    names = [None, "1", "2", "3", "4"]
    answers = [names[i] for i in random.choice(5, n, p=[0.1, 0.4, 0.2, 0.2, 0.1])]
    # Verdicts that differ within one answer happen when a grader reads the whole text.
    correct = [answer == "1" or (answer == "2" and bool(random.uniform() < 0.2)) for answer in answers]
    scores = [float(score) for score in random.choice([0.1, 0.2, 0.3, 0.5, 0.9], n)]
    rewards = [float(reward) for reward in np.round(random.normal(0, 1, n), 2)]
    sizes = range(1, n + 1)
    return {
        "answers": answers,
        "correct": correct,
        "scores": scores,
        "rewards": rewards,
        "expected": {
            "pass": [brute.passes(correct, k) for k in sizes],
            "majority": [brute.vote(answers, correct, [1] * n, k) for k in sizes],
            "vote": [brute.vote(answers, correct, scores, k) for k in sizes],
            "voteOfRewards": [brute.vote(answers, correct, rewards, k) for k in sizes],
            "best": [brute.best_of(answers, correct, scores, k) for k in sizes],
        },
    }


def resampling(random):
    values = np.round(random.uniform(0, 1, 80) ** 2, 3)
    labels = random.uniform(size=80) < values
    labels[:2] = [True, False]
    drawn = draws.indices(7, 2000, len(values))
    areas = [roc_auc_score(labels[rows], values[rows]) for rows in drawn if 0 < labels[rows].sum() < len(rows)]
    interval = bootstrap((values,), np.mean, method="percentile", n_resamples=100_000, rng=np.random.default_rng(1))
    return {
        "values": values.tolist(),
        "labels": labels.tolist(),
        "resamples": 2000,
        "seed": 7,
        "expected": {
            "mean": [values.mean(), *np.quantile(values[drawn].mean(axis=1), [0.025, 0.975])],
            "auc": [roc_auc_score(labels, values), *np.quantile(areas, [0.025, 0.975])],
            # Of other draws: close, not equal.
            "scipy": list(interval.confidence_interval),
        },
    }


def budget():
    a = np.array([[100, 0.3], [200, 0.45], [800, 0.55], [1600, 0.56]])
    b = np.array([[150, 0.35], [300, 0.42], [1200, 0.6], [5000, 0.62]])
    at = lambda curve, budgets: np.interp(np.log(budgets), np.log(curve[:, 0]), curve[:, 1])
    area = lambda curve: np.trapezoid(curve[:, 1], np.log(curve[:, 0])) / np.log(curve[-1, 0] / curve[0, 0])
    shared = np.unique([150, 200, 300, 800, 1200, 1600])
    difference = np.stack([shared, at(a, shared) - at(b, shared)], axis=1)
    points = lambda curve: [{"budget": float(x), "accuracy": float(y)} for x, y in curve]
    return {
        "a": points(a),
        "b": points(b),
        "expected": {
            "at": [[x, float(at(a, x))] for x in (100, 141.4, 300, 1599, 1600)],
            "areas": [area(a), area(b)],
            "equalBudget": {"from": 150, "to": 1600, "difference": area(difference)},
        },
    }


def logistic(random):
    rows = np.round(random.normal(0, 1, (60, 4)), 3)
    labels = random.uniform(size=60) < 1 / (1 + np.exp(-rows @ [1.5, -1, 0, 0.5] - 0.5))
    fitted = LogisticRegression(C=1 / 0.7, solver="newton-cholesky", tol=1e-14, max_iter=1000).fit(rows, labels)
    return {
        "rows": rows.tolist(),
        "labels": labels.tolist(),
        "ridge": 0.7,
        "expected": fitted.predict_proba(rows)[:, 1].tolist(),
    }
