"""Step scores → one number, in exact arithmetic and rounded once (softmin: scipy's softmax). Scores are f32 numbers, so that
Rust, which has f32 scores, and TypeScript read the same values."""

from fractions import Fraction
from math import prod

import numpy as np
from scipy.special import softmax

TEMPERATURE = 0.1


def of(scores):
    exact = [Fraction(score) for score in scores]
    numbers = np.array(scores)
    return {
        "last": scores[-1],
        "min": min(scores),
        "product": float(prod(exact)),
        "mean": float(sum(exact) / len(exact)),
        "max": max(scores),
        "sum": float(sum(exact)),
        "softmin": float(softmax(-numbers / TEMPERATURE) @ numbers),
    }


def build():
    random = np.random.default_rng(20261124)
    cases = {
        "one step": [0.7],
        "one step of 0": [0.0],
        "one step of 1": [1.0],
        "one negative step": [-3.5],
        "equal scores": [0.3] * 5,
        "the vector of PURE (arXiv 2504.15275)": [0.9, 0.8, -0.2],
        "algorithms.md 3.7": [0.9, 0.8, 0.3],
        "negative rewards": [-1.25, -0.5, -7.0, -0.125],
        "two bad rewards": [-2.0, -3.0],
        "large rewards": [1000.0, 999.5, 1001.0],
        "rewards far apart": [-400.0, 400.0],
        "tiny probabilities": [1e-12, 3e-20, 5e-7],
        "a product below the smallest number": [1e-30] * 12,
        "near 1": [0.9999999, 0.9999998, 1.0],
        "a lowest step in the middle": [0.9, 0.05, 0.95, 0.8],
        "a lowest step first": [0.1, 0.2, 0.4, 0.8],
        "two lowest steps": [0.25, 0.75, 0.25],
        "200 probabilities": list(random.uniform(0.9, 1, 200)),
        "64 rewards": list(random.normal(1, 2, 64)),
    }
    return {
        "source": f"scripts/metrics/oracle.py; softmin has T = {TEMPERATURE}. Made for this project, Apache-2.0",
        "cases": [
            {"name": name, "scores": scores, "expected": of(scores)}
            for name, scores in ((name, [float(np.float32(s)) for s in scores]) for name, scores in cases.items())
        ],
    }
