//! Solutions → the answer: at any time, the best there is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::aggregate::Aggregate;
use crate::tree::{Group, NodeId, ROOT, Tree};

/// How the answer is picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Choice {
    /// The solution with the highest score (Best-of-N; PRM-Max of arXiv 2502.06703).
    Best,
    /// The answer whose solutions have the most score together, Σ of the scores as they are: a negative one takes away
    /// (PRM-Vote of arXiv 2502.06703; weighted Best-of-N of arXiv 2408.03314). What has no score has no vote.
    Vote,
    /// The answer that most solutions give (arXiv 2203.11171).
    Majority,
    /// MCTS: from the root to the most visited child, as far as there are solutions below.
    Visits,
    /// MCTS: the same by the backed-up value.
    Value,
}

/// Votes this close, relative to the highest, are tied: sums in another order differ by rounding. As in src/grade/vote.ts.
const TIE: f64 = 1e-14;

/// What a search answers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Chosen {
    pub node: NodeId,
    /// Of equal answers; `None`: nobody has said, or there is no answer.
    pub group: Option<u32>,
    /// Aggregate of the step scores; `None` where the PRM was not asked, or its budget was too small.
    pub score: Option<f64>,
    /// What the group won with: the sum of its scores, or its number of solutions. The score where nobody votes.
    pub vote: f64,
    /// Whether the path has an end; otherwise it is the best prefix there is.
    pub finished: bool,
}

/// A path that has its end.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Solution {
    pub node: NodeId,
    pub group: Option<u32>,
    pub score: Option<f64>,
    /// Whether a cap, not the policy, ended it.
    pub cut: bool,
}

/// All solutions in the order in which they were asked.
pub(crate) fn solutions(tree: &Tree, aggregate: Aggregate) -> Vec<Solution> {
    let finished = tree
        .nodes()
        .filter(|&node| tree.is_finished(node) && !tree.is_pruned(node));
    let solution = |node| Solution {
        node,
        group: group(tree, node),
        score: tree.score(node, aggregate),
        cut: !tree.has_ended(node),
    };
    finished.map(solution).collect()
}

fn group(tree: &Tree, node: NodeId) -> Option<u32> {
    match tree.group(node) {
        Group::Of(group) => Some(group),
        Group::Unknown | Group::NoAnswer => None,
    }
}

/// `None` when there is not even a prefix.
pub(crate) fn best(tree: &Tree, choice: Choice, aggregate: Aggregate) -> Option<Chosen> {
    let all = solutions(tree, aggregate);
    let mut voters: Vec<_> = all
        .iter()
        .filter(|one| tree.group(one.node) != Group::NoAnswer)
        .copied()
        .collect();
    // What a cap cut has no answer as far as anybody knows.
    let known = |one: &Solution| one.group.is_some() || !one.cut;
    if voters.iter().any(known) {
        voters.retain(known);
    }
    if voters.is_empty() {
        return highest(&all).map(alone).or_else(|| prefix(tree, aggregate));
    }
    let value = |node| tree.value(node).unwrap_or(f64::NEG_INFINITY);
    match choice {
        Choice::Best => highest(&voters).map(alone),
        Choice::Vote => {
            if voters.iter().all(|one| one.score.is_none()) {
                return elect(&voters, |_| 1.0, false);
            }
            voters.retain(|one| one.score.is_some());
            elect(&voters, |one| one.score.unwrap_or(0.0), true)
        }
        Choice::Majority => elect(&voters, |_| 1.0, false),
        Choice::Visits => descend(tree, &voters, |node| (f64::from(tree.visits(node)), value(node))),
        Choice::Value => descend(tree, &voters, |node| (value(node), f64::from(tree.visits(node)))),
    }
}

fn alone(one: &Solution) -> Chosen {
    Chosen {
        node: one.node,
        group: one.group,
        score: one.score,
        vote: one.score.unwrap_or(0.0),
        finished: true,
    }
}

/// The one with the highest score, the first of equal ones; the first where there is no score.
fn highest(solutions: &[Solution]) -> Option<&Solution> {
    let above = |one: &Solution, than: &Solution| match (one.score, than.score) {
        (Some(score), Some(highest)) => score > highest,
        (score, highest) => score.is_some() && highest.is_none(),
    };
    solutions
        .iter()
        .reduce(|best, one| if above(one, best) { one } else { best })
}

/// The group with the most weight, of tied ones that of the first solution; in it the solution with the highest score, or the
/// first.
fn elect(voters: &[Solution], weight: impl Fn(&Solution) -> f64, by_score: bool) -> Option<Chosen> {
    let mut votes: Vec<(Option<u32>, f64, Vec<Solution>)> = Vec::new();
    let mut numbers = BTreeMap::new();
    for one in voters {
        // A solution that is in no group stands for itself.
        let number = match one.group {
            Some(group) => *numbers.entry(group).or_insert(votes.len()),
            None => votes.len(),
        };
        if number == votes.len() {
            votes.push((one.group, 0.0, Vec::new()));
        }
        votes[number].1 += weight(one);
        votes[number].2.push(*one);
    }
    let most = votes.iter().map(|&(_, vote, _)| vote).fold(f64::NEG_INFINITY, f64::max);
    let (_, vote, members) = votes
        .into_iter()
        .find(|&(_, vote, _)| vote >= most - TIE * most.abs())?;
    let one = if by_score { highest(&members)? } else { members.first()? };
    Some(Chosen { vote, ..alone(one) })
}

/// From the root down, always to the child with the higher `rank`, the first of equal ones, among those with a voter below.
fn descend(tree: &Tree, voters: &[Solution], rank: impl Fn(NodeId) -> (f64, f64)) -> Option<Chosen> {
    let mut leads = vec![false; tree.len() as usize];
    for one in voters {
        for node in tree.upwards(one.node) {
            leads[node as usize] = true;
        }
    }
    let mut node = ROOT;
    loop {
        if let Some(one) = voters.iter().find(|one| one.node == node) {
            return Some(alone(one));
        }
        let children = tree.children(node).filter(|&child| leads[child as usize]);
        let higher = |best: NodeId, child: NodeId| if rank(child) > rank(best) { child } else { best };
        node = children.reduce(higher)?;
    }
}

/// The most promising prefix where no path has an end: of those in the running the one with the highest value, the deepest,
/// the first.
pub(crate) fn open_leaf(tree: &Tree, fits: impl Fn(NodeId) -> bool) -> Option<NodeId> {
    let open = |&node: &NodeId| node != ROOT && !tree.is_finished(node) && !tree.is_repeated(node);
    let leaf = |&node: &NodeId| tree.children(node).next().is_none();
    let rank = |node: NodeId| {
        let estimate = tree.estimate(node).unwrap_or(f64::NEG_INFINITY);
        (!tree.is_pruned(node), estimate, tree.depth(node))
    };
    let leaves = tree.nodes().filter(open).filter(leaf).filter(|&node| fits(node));
    leaves.reduce(|best, node| if rank(node) > rank(best) { node } else { best })
}

fn prefix(tree: &Tree, aggregate: Aggregate) -> Option<Chosen> {
    let node = open_leaf(tree, |_| true)?;
    let score = tree.score(node, aggregate);
    Some(Chosen {
        node,
        group: None,
        score,
        vote: score.unwrap_or(0.0),
        finished: false,
    })
}
