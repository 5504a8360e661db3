//! OmegaPRM over a policy whose probabilities are known, beside a naive one that knows texts only: it keeps no tree, no
//! states and no pool, and works everything out anew from the rollouts that were made of each text.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use support::{config, mixed, uniform};
use surefoot_search::config::Omega;
use surefoot_search::{Ask, Budget, Child, Config, Event, Finish, Request, Search};

/// Steps, each one of a few.
type Text = Vec<u8>;

/// The steps that it adds, and whether the answer is right.
type Rollout = (Text, bool);

/// The step that is a mistake.
const MISTAKE: u8 = 3;

#[derive(Clone, Copy)]
struct Policy {
    seed: u64,
    /// A step is a mistake.
    mistake: f32,
    /// An answer without a mistake is right.
    right: f32,
    /// One with a mistake is right all the same.
    recovers: f32,
    /// Of so many rollouts one fails; 0: none.
    failing: u64,
}

impl Policy {
    /// Rollout `ordinal` from a text: its steps and whether its answer is right; `None`: it fails.
    fn rollout(&self, from: &[u8], ordinal: u32) -> Option<Rollout> {
        let key = from
            .iter()
            .fold(self.seed, |key, &step| mixed(key ^ u64::from(step + 1)));
        let key = mixed(key ^ u64::from(ordinal) << 20);
        if self.failing > 0 && mixed(key ^ 1).is_multiple_of(self.failing) {
            return None;
        }
        let length = 1 + (mixed(key ^ 2) % 7) as usize;
        let step = |index: usize| {
            let draw = mixed(key ^ (100 + index as u64));
            if uniform(draw) < self.mistake {
                MISTAKE
            } else {
                (draw % 2) as u8
            }
        };
        let steps: Text = (0..length.saturating_sub(from.len()).max(1)).map(step).collect();
        let mistaken = from.iter().chain(&steps).any(|&step| step == MISTAKE);
        let right = uniform(key ^ 3) < if mistaken { self.recovers } else { self.right };
        Some((steps, right))
    }
}

/// Any injection will do.
fn hash(text: &[u8]) -> u64 {
    text.iter().fold(1, |hash, &step| hash * 8 + u64::from(step) + 1)
}

/// The real search with the text of each node.
struct Real {
    search: Search,
    texts: Vec<Text>,
    requests: u32,
}

impl Real {
    fn run(policy: Policy, config: &Config, budget: Budget, hashed: bool) -> Self {
        let mut search = Search::new(config.clone(), budget).unwrap();
        search.trace(true);
        let mut texts = vec![vec![]];
        let mut ordinals = BTreeMap::<u32, u32>::new();
        let mut requests = 0;
        while let Ask::Requests(asked) = search.ask(1, 0) {
            let request = asked[0];
            requests += 1;
            if let Some(stem) = request.stem {
                let parent = search.tree().parent(request.node).unwrap();
                let length = texts[parent as usize].len() + stem.steps as usize;
                texts.push(texts[stem.of as usize][..length].to_vec());
                assert_eq!(texts.len() as u32 - 1, request.node);
            }
            Self::tell(
                &mut search,
                &mut texts,
                policy,
                &request,
                ordinals.entry(request.node).or_default(),
                hashed,
            );
        }
        Self {
            search,
            texts,
            requests,
        }
    }

    fn tell(
        search: &mut Search,
        texts: &mut Vec<Text>,
        policy: Policy,
        request: &Request,
        ordinal: &mut u32,
        hashed: bool,
    ) {
        let from = texts[request.node as usize].clone();
        let mut children = vec![];
        for _ in 0..request.count {
            let rollout = policy.rollout(&from, *ordinal);
            *ordinal += 1;
            // The last of them fail: what came keeps its order.
            let Some((steps, right)) = rollout else { continue };
            let text = [&from[..], &steps].concat();
            children.push(Child {
                policy_tokens: steps.len() as u32,
                steps: steps.len() as u32,
                ended: true,
                correct: Some(right),
                prefixes: if hashed {
                    (from.len()..text.len()).map(|end| hash(&text[..=end])).collect()
                } else {
                    vec![]
                },
                ..Child::default()
            });
            texts.push(text);
        }
        texts.resize(texts.len() + request.count as usize - children.len(), vec![]);
        if children.is_empty() {
            search.fail(request.id).unwrap();
        } else {
            search.tell(request.id, &children).unwrap();
        }
    }

    /// The text of each first error, the wrong step included, and how far before it the tree was right.
    fn found(&mut self) -> Vec<(Text, usize)> {
        let events = self.search.take_events();
        let error = |event: Event| match event {
            Event::FirstError {
                node,
                step,
                before,
                behind,
            } => {
                let parent = self.search.tree().parent(node).unwrap();
                let end = self.texts[parent as usize].len() + step as usize + 1;
                let text = self.texts[node as usize][..end].to_vec();
                assert!(behind.is_none_or(|behind| self.texts[behind as usize] == text));
                Some((text, self.texts[before as usize].len()))
            }
            _ => None,
        };
        events.into_iter().filter_map(error).collect()
    }

    /// Right rollouts and all of them, by text.
    fn states(&self) -> BTreeMap<Text, (u32, u32)> {
        let tree = self.search.tree();
        let states = tree.nodes().filter(|&node| tree.visits(node) > 0);
        let state = |node: u32| {
            (
                self.texts[node as usize].clone(),
                (tree.total(node) as u32, tree.visits(node)),
            )
        };
        states.map(state).collect()
    }
}

/// All rollouts by the text that they go on from, in the order in which they were made.
struct Naive {
    policy: Policy,
    config: Omega,
    made: Vec<(Text, Vec<Option<Rollout>>)>,
    searched: Vec<(Text, Text)>,
    found: Vec<(Text, usize)>,
    retested: Vec<Text>,
    tests: u32,
}

impl Naive {
    fn new(policy: Policy, config: &Omega) -> Self {
        let mut naive = Self {
            policy,
            config: config.clone(),
            made: vec![],
            searched: vec![],
            found: vec![],
            retested: vec![],
            tests: 0,
        };
        naive.test(&vec![], config.rollouts);
        for _ in 0..config.searches {
            let Some((from, whole)) = naive.best() else { break };
            naive.searched.push((from.clone(), whole.clone()));
            naive.bisect(from.len(), &whole);
        }
        naive
    }

    fn test(&mut self, from: &Text, count: u32) {
        self.tests += 1;
        let before = self
            .made
            .iter()
            .filter(|(text, _)| text == from)
            .map(|(_, rollouts)| rollouts.len())
            .sum::<usize>();
        let rollouts = (0..count).map(|index| self.policy.rollout(from, before as u32 + index));
        self.made.push((from.clone(), rollouts.collect()));
    }

    fn outcomes(&self, from: &[u8]) -> Vec<bool> {
        let of = self.made.iter().filter(|(text, _)| text == from);
        of.flat_map(|(_, rollouts)| rollouts.iter().flatten().map(|&(_, right)| right))
            .collect()
    }

    fn hits(&self, from: &[u8]) -> usize {
        self.outcomes(from).into_iter().filter(|&right| right).count()
    }

    fn best(&self) -> Option<(Text, Text)> {
        let mut seen = BTreeSet::new();
        let mut best: Option<(f64, (Text, Text))> = None;
        for (from, rollouts) in &self.made {
            for (steps, right) in rollouts.iter().flatten() {
                let whole = [&from[..], steps].concat();
                if *right || !seen.insert(whole.clone()) || self.searched.iter().any(|(_, text)| *text == whole) {
                    continue;
                }
                let outcomes = self.outcomes(from);
                let mc = self.hits(from) as f64 / outcomes.len() as f64;
                if mc == 0.0 {
                    continue;
                }
                let n = self.searched.iter().filter(|(text, _)| text == from).count() as f64;
                let q =
                    self.config.alpha.powf(1.0 - mc) * self.config.beta.powf(steps.len() as f64 / self.config.length);
                let score = q + self.config.c * (self.searched.len() as f64).sqrt() / (1.0 + n);
                if best.as_ref().is_none_or(|(highest, _)| score > *highest) {
                    best = Some((score, (from.clone(), whole)));
                }
            }
        }
        best.map(|(_, pair)| pair)
    }

    fn bisect(&mut self, from: usize, whole: &Text) {
        let (mut right, mut wrong) = (from, whole.len());
        let mut wrongs = vec![wrong];
        loop {
            while wrong - right > 1 {
                let middle = right + (wrong - right) / 2;
                let prefix = whole[..middle].to_vec();
                if self.outcomes(&prefix).is_empty() {
                    self.test(&prefix, self.config.rollouts);
                    if self.outcomes(&prefix).is_empty() {
                        return;
                    }
                }
                if self.hits(&prefix) > 0 {
                    right = middle;
                } else {
                    wrong = middle;
                    wrongs.push(wrong);
                }
            }
            let prefix = whole[..wrong].to_vec();
            let retest = self.config.retest.unwrap_or(2 * self.config.rollouts);
            let known = self.outcomes(&prefix).len();
            let fresh = !self.retested.contains(&prefix) && retest > 0;
            if wrong < whole.len() && fresh {
                self.test(&prefix, retest);
                if self.outcomes(&prefix).len() == known {
                    return;
                }
                self.retested.push(prefix.clone());
            }
            if wrong == whole.len() || self.hits(&prefix) == 0 {
                self.found.push((prefix, right));
                return;
            }
            right = wrong;
            wrongs.pop();
            wrong = wrongs[wrongs.len() - 1];
        }
    }

    fn states(&self) -> BTreeMap<Text, (u32, u32)> {
        let texts: BTreeSet<_> = self.made.iter().map(|(text, _)| text.clone()).collect();
        let state = |text: Text| {
            let (hits, count) = (self.hits(&text) as u32, self.outcomes(&text).len() as u32);
            (count > 0).then_some((text, (hits, count)))
        };
        texts.into_iter().filter_map(state).collect()
    }
}

fn policies() -> impl Iterator<Item = Policy> {
    (0..60u64).map(|seed| Policy {
        seed,
        mistake: [0.1, 0.25, 0.4][seed as usize % 3],
        right: [1.0, 0.8, 0.5][seed as usize / 3 % 3],
        recovers: [0.0, 0.1][seed as usize / 9 % 2],
        failing: [0, 5, 2][seed as usize / 18 % 3],
    })
}

fn configs() -> impl Iterator<Item = Config> {
    let texts = [
        r#"{ "strategy": "omega" }"#,
        r#"{ "strategy": "omega", "rollouts": 3, "retest": 0, "length": 3, "c": 1 }"#,
        r#"{ "strategy": "omega", "rollouts": 2, "retest": 3, "alpha": 0.2, "beta": 0.5, "length": 2 }"#,
        r#"{ "strategy": "omega", "rollouts": 1, "searches": 7 }"#,
    ];
    texts.into_iter().map(config)
}

#[test]
fn every_value_and_every_first_error_is_that_of_a_naive_search() {
    let (mut errors, mut refuted, mut given_up) = (0, 0, 0);
    for policy in policies() {
        for config in configs() {
            let Config::Omega(omega) = &config else { unreachable!() };
            let mut real = Real::run(policy, &config, Budget::default(), true);
            let naive = Naive::new(policy, omega);
            let found = real.found();
            assert_eq!(found, naive.found, "{config:?} {:?}", policy.seed);
            assert_eq!(real.states(), naive.states(), "{config:?} {:?}", policy.seed);
            assert_eq!(real.requests, naive.tests, "{config:?} {:?}", policy.seed);
            errors += found.len();
            given_up += naive.searched.len() - found.len();
            refuted += real
                .states()
                .values()
                .filter(|&&(hits, count)| hits > 0 && count > omega.rollouts)
                .count();
        }
    }
    assert!(
        errors > 1500 && refuted > 20 && given_up > 2,
        "{errors}, {refuted}, {given_up}"
    );
}

#[test]
fn where_nothing_recovers_the_first_error_is_the_first_mistake() {
    let (mut right, mut all, mut hasty) = (0, 0, 0);
    for seed in 0..200 {
        let policy = Policy {
            seed,
            mistake: 0.25,
            right: 1.0,
            recovers: 0.0,
            failing: 0,
        };
        for (retest, count) in [(0, &mut hasty), (16, &mut right)] {
            let config = config(&format!(r#"{{ "strategy": "omega", "retest": {retest} }}"#));
            for (text, before) in Real::run(policy, &config, Budget::default(), true).found() {
                let first = text.iter().position(|&step| step == MISTAKE);
                *count += u32::from(first == Some(text.len() - 1));
                all += u32::from(retest > 0);
                assert_eq!(before, text.len() - 1);
                // Behind a mistake nothing is ever right, so the border is never too far to the right.
                assert!(first.is_none_or(|first| first + 1 >= text.len()));
            }
        }
    }
    // A rollout that has to write up to six more steps without a mistake is right with 0.75^6 = 0.18 or more.
    assert!(
        all > 500 && right * 1000 >= all * 995,
        "{right} of {all}, {hasty} without a second test"
    );
}

#[test]
fn texts_that_nobody_hashed_are_told_apart_by_their_place() {
    for policy in policies() {
        let config = config(r#"{ "strategy": "omega", "rollouts": 4 }"#);
        let mut bare = Real::run(policy, &config, Budget::default(), false);
        let tree = bare.search.tree();
        assert!(tree.nodes().filter(|&node| tree.visits(node) > 0).count() >= bare.states().len());
        for (text, before) in bare.found() {
            assert!(before < text.len());
        }
    }
}

#[test]
fn a_prefix_is_rolled_out_from_once_whichever_rollouts_begin_with_it() {
    for policy in policies().filter(|policy| policy.failing == 0) {
        let config = config(r#"{ "strategy": "omega", "retest": 0 }"#);
        let real = Real::run(policy, &config, Budget::default(), true);
        assert!(real.states().values().all(|&(_, count)| count == 8));
        assert_eq!(real.states().len() as u32, real.requests);
    }
}

#[test]
fn a_budget_of_generations_ends_it_with_what_is_known_and_a_search_that_has_no_wrong_rollout_is_complete() {
    let policy = policies().nth(1).unwrap();
    let omega = config(r#"{ "strategy": "omega" }"#);
    let whole = Real::run(policy, &omega, Budget::default(), true);
    let most = whole.search.spent().generations;
    assert!(most > 60);
    for generations in 0..most {
        let budget = Budget {
            generations: Some(generations),
            ..Budget::default()
        };
        let real = Real::run(policy, &omega, budget, true);
        assert_eq!(real.search.spent().generations, generations);
        assert_eq!(real.search.outcome().unwrap().finish, Finish::Budget);
        let counted: u32 = real.states().values().map(|&(_, count)| count).sum();
        assert_eq!(u64::from(counted), generations);
    }
    for right in [0.0, 1.0] {
        let sure = Policy {
            mistake: 0.0,
            right,
            ..policy
        };
        let mut real = Real::run(sure, &omega, Budget::default(), true);
        assert_eq!((real.requests, real.found().len()), (1, 0));
        assert_eq!(real.search.outcome().unwrap().finish, Finish::Complete);
    }
}

#[test]
fn what_a_cap_of_the_strategy_cut_is_wrong_and_never_searched_and_what_the_budget_cut_counts_for_nothing() {
    let child = |tokens, correct, cut: bool| Child {
        policy_tokens: tokens,
        steps: 2,
        ended: !cut,
        cut,
        correct: Some(correct),
        ..Child::default()
    };
    let json = r#"{ "strategy": "omega", "rollouts": 3, "answerTokens": 50 }"#;
    let mut search = Search::new(config(json), Budget::default()).unwrap();
    let Ask::Requests(requests) = search.ask(1, 0) else {
        panic!()
    };
    // The second has all the tokens that a path may have, the third ran into the end of a context.
    let children = [child(9, true, false), child(50, false, true), child(20, false, true)];
    search.tell(requests[0].id, &children).unwrap();
    assert!(matches!(search.ask(1, 0), Ask::Done(_)));
    assert_eq!((search.tree().visits(0), search.tree().total(0)), (3, 1.0));

    let budget = Budget {
        policy_tokens: Some(70),
        reserve: 0.0,
        ..Budget::default()
    };
    let mut search = Search::new(config(json), budget).unwrap();
    let mut caps = vec![];
    while let Ask::Requests(requests) = search.ask(1, 0) {
        let most = requests[0].caps.policy_tokens;
        caps.push(most);
        search.tell(requests[0].id, &[child(most, false, true)]).unwrap();
    }
    assert_eq!(caps, [50, 20]);
    assert_eq!((search.tree().visits(0), search.tree().total(0)), (1, 0.0));
}
