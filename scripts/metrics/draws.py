"""The seeded draws of src/evaluate, written down from their definition: an additive 32-bit counter and a hash of it."""

import numpy as np


def uniform(seed, count):
    """`count` numbers in [0, 1)."""
    with np.errstate(over="ignore"):
        bits = np.uint32(seed) + np.uint32(0x9E3779B9) * np.arange(1, count + 1, dtype=np.uint32)
        bits = (bits ^ (bits >> np.uint32(16))) * np.uint32(0x21F0AAAD)
        bits = (bits ^ (bits >> np.uint32(15))) * np.uint32(0x735A2D97)
        bits ^= bits >> np.uint32(15)
    return bits / 2.0**32


def indices(seed, resamples, count):
    """The items of each resample."""
    return (uniform(seed, resamples * count) * count).astype(int).reshape(resamples, count)


def shuffled(items, seed):
    items = list(items)
    for i, share in enumerate(uniform(seed, len(items))):
        j = i + int(share * (len(items) - i))
        items[i], items[j] = items[j], items[i]
    return items


def folds(groups, count, seed):
    """The fold of each item: the groups, shuffled, dealt out in turn."""
    place = {group: i % count for i, group in enumerate(shuffled(dict.fromkeys(groups), seed))}
    return [place[group] for group in groups]
