"""Visit counts of mctx's PUCT on random tables: python scripts/search/mctx_visits.py > fixtures/search/mctx.json

Needs mctx 0.0.71 and jax 0.10.2, on a CPU. A case is a graph of states: `next[s][a]` is where continuation a of a node in state s leads,
`value[s]` what a node in it is worth, `logits[s][a]` the log-probability of a continuation. `visits` names each visited
node by the continuations that lead to it. Our search and mctx differ in one thing: mctx knows the value of a child only once
it has visited it, and ours is told all children at once. So Q of an unvisited child is its value here, by mctx's own hook.
"""

import json
import sys
from importlib.metadata import version

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp  # noqa: E402
import mctx  # noqa: E402
import numpy as np  # noqa: E402


def single(numbers):
    """As f32, which is what a search is told."""
    return np.asarray(numbers, np.float32).astype(np.float64)


def case(seed, states, actions, simulations):
    draws = np.random.default_rng(seed)
    following = draws.integers(states, size=(states, actions))
    value = single(draws.random(states))
    logits = single(draws.normal(scale=1.5, size=(states, actions)))
    next_, values, tables = jnp.asarray(following), jnp.asarray(value), jnp.asarray(logits)

    def step(_, __, action, state):
        state = next_[state, action]
        ones = jnp.ones(state.shape)
        return (
            mctx.RecurrentFnOutput(reward=0 * ones, discount=ones, prior_logits=tables[state], value=values[state]),
            state,
        )

    def q(tree, node):
        first = values[next_[tree.embeddings[node]]]
        return jnp.where(tree.children_visits[node] > 0, tree.qvalues(node), first)

    start = jnp.zeros(1, jnp.int64)
    root = mctx.RootFnOutput(prior_logits=tables[start], value=values[start], embedding=start)
    tree = mctx.muzero_policy(
        params=None,
        rng_key=jax.random.PRNGKey(seed),
        root=root,
        recurrent_fn=step,
        num_simulations=simulations,
        qtransform=q,
        dirichlet_fraction=0.0,
    ).search_tree
    links, counts = np.asarray(tree.children_index[0]), np.asarray(tree.node_visits[0])
    visits, todo = {}, [(0, "")]
    while todo:
        node, name = todo.pop()
        visits[name] = int(counts[node])
        todo += [(int(child), f"{name}{action}") for action, child in enumerate(links[node]) if child >= 0]
    return {
        "simulations": simulations,
        "next": following.tolist(),
        "value": value.tolist(),
        "logits": logits.tolist(),
        "visits": dict(sorted(visits.items())),
    }


if __name__ == "__main__":
    shapes = [(1, 16, 2, 60), (2, 32, 3, 120), (3, 24, 4, 200), (4, 40, 6, 150), (5, 8, 8, 250)]
    source = f"mctx {version('mctx')}, jax {version('jax')}, by scripts/search/mctx_visits.py"
    json.dump({"source": source, "cases": [case(*shape) for shape in shapes]}, sys.stdout)
    print()
