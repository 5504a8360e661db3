"""Excerpts of recorded data, and the same metrics of them."""

import json
import re
from itertools import combinations

import numpy as np
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import cohen_kappa_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import brute
import draws
from synthetic import fleiss

MODELS = ["6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification"]


def lines(path, count):
    with path.open(encoding="utf-8") as file:
        return [json.loads(next(file)) for _ in range(count)]


def surface(steps):
    """The features as src/evaluate/surface.ts words them, counted by hand."""
    text = "\n".join(steps)
    hedges = (
        "maybe perhaps probably possibly might seem seems approximately roughly guess assume assuming wait hmm actually "
        "however mistake unsure"
    ).split()
    phrases = ["not sure", "let me check", "let me recheck"]
    words = re.findall(r"[A-Za-z0-9_]+", text.lower())
    spoken = " " + re.sub(r"[^A-Za-z0-9_ ]", "|", text.lower()) + " "
    hedging = sum(word in hedges for word in words) + sum(spoken.count(phrase) for phrase in phrases)
    last = steps[-1].lower()
    marked = "\\boxed" in last or "####" in last or "answer" in re.findall(r"\w+", last) or last.startswith("a:")
    return [
        np.log(1 + len(text)),
        np.log(1 + len(steps)),
        0.0,
        max(map(len, steps)) / len(text),
        sum(c in "0123456789" for c in text) / len(text),
        text.count("=") / len(steps),
        len(re.findall(r"\\[A-Za-z]+", text)) / len(steps),
        hedging / len(steps),
        1 - len(set(steps)) / len(steps),
        float(marked),
    ]


def number(answer):
    return None if answer is None else float(answer.replace(",", "").replace("$", ""))


def gsm8k(data):
    rows = lines(data / "candidates" / "gsm8k-four-models" / "first600.jsonl", 24)
    problems = []
    for row in rows:
        solutions = [row[model] for model in MODELS]
        # What does not lie in the first plane counts otherwise in JavaScript's lengths.
        assert all(max(map(ord, s["solution"])) < 0x10000 for s in solutions)
        # A solution that broke off has no last line "A: …".
        answers = [(re.findall(r"^A: *(.+)$", s["solution"], re.M) or [None])[-1] for s in solutions]
        correct = [s["is_correct"] for s in solutions]
        problems.append({"answers": answers, "correct": correct, "texts": [s["solution"] for s in solutions]})
    correct = np.array([p["correct"] for p in problems])
    features = np.array([surface(text.split("\n")) for p in problems for text in p["texts"]])
    groups = [i for i in range(len(problems)) for _ in MODELS]
    folds = np.array(draws.folds(groups, 5, 1))
    labels = correct.ravel()
    fitted = np.empty(len(labels))
    for fold in range(5):
        model = LogisticRegression(C=1, solver="newton-cholesky", tol=1e-14, max_iter=1000)
        with np.errstate(all="ignore"):
            pipeline = make_pipeline(StandardScaler(), model).fit(features[folds != fold], labels[folds != fold])
        fitted[folds == fold] = pipeline.predict_proba(features[folds == fold])[:, 1]
    pairs = list(combinations(range(4), 2))
    return {
        "source": "openai/grade-school-math, example_model_solutions, the first 24 problems; MIT, (c) 2021 OpenAI",
        "problems": problems,
        "expected": {
            "pass": [[brute.passes(p["correct"], k) for k in range(1, 5)] for p in problems],
            "majority": [
                [brute.vote([number(a) for a in p["answers"]], p["correct"], [1] * 4, k) for k in range(1, 5)]
                for p in problems
            ],
            "cohen": [cohen_kappa_score(correct[:, a], correct[:, b]) for a, b in pairs],
            "fleiss": fleiss(correct.astype(int)),
            "mcnemar": [mcnemar(correct[:, a], correct[:, b]) for a, b in pairs],
            "features": features.tolist(),
            "surface": fitted.tolist(),
            "surfaceAuc": roc_auc_score(labels, fitted),
        },
    }


def mcnemar(a, b):
    differ = int((a != b).sum())
    return binomtest(int((a & ~b).sum()), differ, 0.5).pvalue if differ else 1.0


def math_rm(data):
    rows = lines(data / "candidates" / "math-rm-scored" / "first50.jsonl", 50)
    whole = []
    problems = []
    for index, row in enumerate(rows):
        rewards = [float(np.ravel(reward)[0]) for reward in row["pred_score"]]
        whole.append(
            [brute.vote(row["pred"], row["score"], [1] * 8, 8), brute.best_of(row["pred"], row["score"], rewards, 8)]
        )
        if index % 2:
            continue
        # Answers are numbered by how they are written: how answers are grouped is not what is tested here.
        names = list(dict.fromkeys(row["pred"]))
        problems.append(
            {
                "answers": [str(names.index(answer)) for answer in row["pred"]],
                "correct": row["score"],
                "rewards": rewards,
            }
        )
    votes = [np.exp(np.array(p["rewards"]) - max(p["rewards"])).tolist() for p in problems]
    sizes = range(1, 9)
    labels = np.array([p["correct"] for p in problems])
    rewards = np.array([p["rewards"] for p in problems])
    mixed = [(y, s) for y, s in zip(labels, rewards) if 0 < y.sum() < 8]
    counts = np.array([y.sum() * (8 - y.sum()) for y, _ in mixed])
    best = np.array([brute.best_of(p["answers"], p["correct"], p["rewards"], 8) for p in problems])
    majority = np.array([brute.vote(p["answers"], p["correct"], [1] * 8, 8) for p in problems])
    drawn = draws.indices(1, 10_000, len(problems))
    gain = best - majority
    return {
        "source": "QwenLM/Qwen2.5-Math, Qwen2.5-Math-RM-72B on MATH, every second of 50 problems; MIT, (c) 2024 Alibaba Cloud",
        "problems": problems,
        "expected": {
            "pass": [[brute.passes(p["correct"], k) for k in sizes] for p in problems],
            "best": [[brute.best_of(p["answers"], p["correct"], p["rewards"], k) for k in sizes] for p in problems],
            "majority": [[brute.vote(p["answers"], p["correct"], [1] * 8, k) for k in sizes] for p in problems],
            "vote": [[brute.vote(p["answers"], p["correct"], v, k) for k in sizes] for p, v in zip(problems, votes)],
            # Of all 50 problems: maj@8 and rm@8.
            "whole": np.mean(whole, axis=0).tolist(),
            "auc": roc_auc_score(labels.ravel(), rewards.ravel()),
            "pairs": float(counts @ [roc_auc_score(y, s) for y, s in mixed] / counts.sum()),
            "gain": [gain.mean(), *np.quantile(gain[drawn].mean(axis=1), [0.025, 0.975])],
        },
    }


def processbench(data):
    """Real labels under seeded scores that know something of them."""
    random = np.random.default_rng(20261124)
    rows = json.loads((data / "steps" / "processbench" / "gsm8k.json").read_text(encoding="utf-8"))[::8]
    solutions = []
    for row in rows:
        wrong = np.arange(len(row["steps"])) >= (row["label"] if row["label"] >= 0 else np.inf)
        scores = np.round(np.clip(random.normal(np.where(wrong, 0.4, 0.75), 0.2), 0, 1), 2)
        solutions.append({"id": row["id"], "label": row["label"], "scores": scores.tolist()})
    labels = [s["label"] for s in solutions]

    def f1(threshold):
        named = [next((i for i, score in enumerate(s["scores"]) if score < threshold), -1) for s in solutions]
        right = np.mean([n == -1 for n, y in zip(named, labels) if y == -1])
        wrong = np.mean([n == y for n, y in zip(named, labels) if y != -1])
        return [float(wrong), float(right), float(2 * wrong * right / (wrong + right)) if wrong + right else 0.0]

    seen = sorted({score for s in solutions for score in s["scores"]})
    tried = [(low + high) / 2 for low, high in zip([-1, *seen], [*seen, 2])]
    # What stands behind the first wrong step was not judged.
    judged = [(score, i != s["label"]) for s in solutions for i, score in enumerate(s["scores"]) if s["label"] < 0 or i <= s["label"]]
    return {
        "source": "Qwen/ProcessBench, gsm8k, every eighth row, Apache-2.0; the scores are drawn by scripts/metrics/recorded.py",
        "solutions": solutions,
        "expected": {
            "fixed": f1(0.5),
            "best": max(f1(threshold)[2] for threshold in tried),
            "stepAuc": roc_auc_score([y for _, y in judged], [score for score, _ in judged]),
        },
    }
