//! Strategies beside naive ones that keep no sums, no counts and no links, and work everything out anew at every turn.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use support::{config, mixed, uniform};
use surefoot_search::config::{Backup, Leaf, Mcts, Parallel, Prior, Select, Unvisited};
use surefoot_search::{Ask, Budget, Child, Config, Search, Until};

/// A node by its place: which continuation of which continuation it is.
type Place = Vec<u32>;

#[derive(Clone, Copy)]
struct World {
    seed: u64,
    /// Of so many one ends its answer.
    ending: u64,
    /// Scores are multiples of one in so many: the fewer, the more are equal.
    grain: f32,
}

impl World {
    fn key(&self, place: &[u32]) -> u64 {
        place
            .iter()
            .fold(self.seed, |key, &ordinal| mixed(key ^ u64::from(ordinal + 1)))
    }

    fn score(&self, place: &[u32]) -> f32 {
        (uniform(self.key(place)) * self.grain).floor() / self.grain
    }

    fn ended(&self, place: &[u32]) -> bool {
        mixed(self.key(place) ^ 1).is_multiple_of(self.ending)
    }

    fn text(&self, place: &[u32]) -> u64 {
        mixed(self.key(place) ^ 2) % 5
    }

    fn log_prior(&self, place: &[u32]) -> f32 {
        -3.0 * uniform(self.key(place) ^ 3)
    }

    /// Runs the real search. Returns it with the place of each node, and the requests in their order.
    fn run(&self, config: &Config) -> (Search, Vec<Place>, Vec<(Place, u32)>) {
        let mut search = Search::new(config.clone(), Budget::default()).unwrap();
        let mut places = vec![vec![]];
        let mut ordinals = BTreeMap::<u32, u32>::new();
        let mut asked = vec![];
        let mut out = vec![];
        loop {
            match search.ask(usize::MAX, 0) {
                Ask::Requests(requests) => out.extend(requests),
                Ask::Wait => {}
                Ask::Done(_) => break,
            }
            let request = out.remove(0);
            asked.push((places[request.node as usize].clone(), request.count));
            let mut children = vec![];
            for _ in 0..request.count {
                let ordinal = ordinals.entry(request.node).or_default();
                let mut place = places[request.node as usize].clone();
                place.push(*ordinal);
                *ordinal += 1;
                children.push(Child {
                    policy_tokens: 1,
                    steps: 1,
                    scores: vec![self.score(&place)],
                    log_prior: Some(self.log_prior(&place)),
                    text: Some(self.text(&place)),
                    ended: self.ended(&place) || request.until == Until::Answer,
                    ..Child::default()
                });
                places.push(place);
            }
            search.tell(request.id, &children).unwrap();
        }
        (search, places, asked)
    }
}

fn worlds() -> impl Iterator<Item = World> {
    (0..6u64).map(|seed| World {
        seed,
        ending: [3, 4, 6, 1000, 5, 8][seed as usize],
        grain: [1e6, 4.0, 1e6, 1e6, 10.0, 3.0][seed as usize],
    })
}

struct Naive<'a> {
    world: World,
    config: &'a Mcts,
    /// Every simulation that was begun: where it ended, and what it was worth once it is back.
    simulations: Vec<(Place, Option<f64>)>,
}

impl Naive<'_> {
    fn below(place: &[u32], simulation: &Place) -> bool {
        simulation.starts_with(place)
    }

    fn expanded(&self, place: &[u32]) -> bool {
        self.simulations
            .iter()
            .any(|(at, worth)| at == place && worth.is_some())
    }

    fn busy(&self, place: &[u32]) -> bool {
        self.simulations
            .iter()
            .any(|(at, worth)| at == place && worth.is_none())
    }

    fn child(place: &[u32], ordinal: u32) -> Place {
        [place, &[ordinal]].concat()
    }

    fn available(&self, place: &[u32]) -> bool {
        if !place.is_empty() && self.world.ended(place) || self.busy(place) {
            return false;
        }
        !self.expanded(place) || (0..self.config.children).any(|ordinal| self.available(&Self::child(place, ordinal)))
    }

    fn came(&self, place: &[u32]) -> Vec<f64> {
        if !place.is_empty() && self.world.ended(place) {
            return vec![f64::from(self.world.score(place))];
        }
        let back = self.simulations.iter().filter(|(at, _)| Self::below(place, at));
        back.filter_map(|(_, worth)| *worth).collect()
    }

    fn out(&self, place: &[u32]) -> f64 {
        let out = self
            .simulations
            .iter()
            .filter(|(at, worth)| Self::below(place, at) && worth.is_none());
        out.count() as f64
    }

    fn value(&self, place: &[u32]) -> f64 {
        let came = self.came(place);
        match self.config.backup {
            _ if came.is_empty() => f64::from(self.world.score(place)),
            Backup::Mean => came.iter().sum::<f64>() / came.len() as f64,
            Backup::Max => came.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        }
    }

    fn rank(&self, parent: &[u32], place: &[u32]) -> f64 {
        let visits = self.came(place).len() as f64;
        let above = self.came(parent).len() as f64;
        let (mut q, mut n, mut np) = (self.value(place), visits, above);
        match self.config.parallel {
            Parallel::WuUct => {
                n += self.out(place);
                np += self.out(parent);
            }
            Parallel::VirtualLoss { count, loss } => {
                let lost = count * self.out(place);
                if lost > 0.0 {
                    q = (q * visits.max(1.0) - lost * loss) / (visits.max(1.0) + lost);
                }
                n += lost;
                np += count * self.out(parent);
            }
        }
        if self.config.unvisited == Unvisited::First && n == 0.0 {
            return f64::INFINITY;
        }
        match self.config.select {
            Select::Uct { c } => q + c * (np.max(1.0).ln() / n.max(1.0)).sqrt(),
            Select::Puct { base, init, prior } => {
                let logs = (0..self.config.children)
                    .map(|ordinal| f64::from(self.world.log_prior(&Self::child(parent, ordinal))));
                let share = match prior {
                    Prior::Uniform => 1.0 / f64::from(self.config.children),
                    Prior::LogProbability { temperature } => {
                        let own = f64::from(self.world.log_prior(place)) / temperature;
                        own.exp() / logs.map(|log| (log / temperature).exp()).sum::<f64>()
                    }
                };
                q + share * (((np + base + 1.0) / base).ln() + init) * np.sqrt() / (n + 1.0)
            }
        }
    }

    fn select(&self) -> Option<Place> {
        if !self.available(&[]) {
            return None;
        }
        let mut place = vec![];
        while self.expanded(&place) {
            let mut best: Option<(Place, f64)> = None;
            for ordinal in 0..self.config.children {
                let child = Self::child(&place, ordinal);
                let rank = self.rank(&place, &child);
                if self.available(&child) && best.as_ref().is_none_or(|(_, highest)| rank > *highest) {
                    best = Some((child, rank));
                }
            }
            place = best.unwrap().0;
        }
        Some(place)
    }

    fn worth(&self, place: &[u32]) -> f64 {
        if self.config.leaf == Leaf::Own && !place.is_empty() {
            return f64::from(self.world.score(place));
        }
        let scores = (0..self.config.children).map(|ordinal| f64::from(self.world.score(&Self::child(place, ordinal))));
        match self.config.backup {
            Backup::Mean => scores.sum::<f64>() / f64::from(self.config.children),
            Backup::Max => scores.fold(f64::NEG_INFINITY, f64::max),
        }
    }

    fn run(&mut self) {
        loop {
            let begun = self.simulations.len() as u32;
            let out: Vec<_> = (0..self.simulations.len())
                .filter(|&index| self.simulations[index].1.is_none())
                .collect();
            if out.len() < self.config.batch as usize
                && begun < self.config.simulations.unwrap()
                && let Some(place) = self.select()
            {
                self.simulations.push((place, None));
                continue;
            }
            let Some(&oldest) = out.first() else { return };
            let worth = self.worth(&self.simulations[oldest].0);
            self.simulations[oldest].1 = Some(worth);
        }
    }
}

#[test]
fn mcts_visits_and_values_are_those_of_a_naive_search() {
    let selects = [
        r#"{ "by": "uct" }"#,
        r#"{ "by": "uct", "c": 0.3 }"#,
        r#"{ "by": "puct" }"#,
        r#"{ "by": "puct", "prior": { "from": "uniform" } }"#,
    ];
    let rest = [
        r#""batch": 1"#,
        r#""batch": 4"#,
        r#""batch": 5, "backup": "max", "unvisited": "first""#,
        r#""batch": 3, "leaf": "own", "parallel": { "by": "virtualLoss", "count": 2, "loss": 1 }"#,
    ];
    let mut searches = 0;
    for world in worlds() {
        for select in selects {
            for rest in rest {
                let json = format!(
                    r#"{{ "strategy": "mcts", "simulations": 30, "children": 3, "dedupe": false, "select": {select}, {rest} }}"#
                );
                let whole = config(&json);
                let Config::Mcts(mcts) = &whole else { unreachable!() };
                let mut naive = Naive {
                    world,
                    config: mcts,
                    simulations: vec![],
                };
                naive.run();
                let (search, places, asked) = world.run(&whole);
                let mut wanted: Vec<_> = naive.simulations.iter().map(|(place, _)| (place.clone(), 3)).collect();
                // What could not grow an end was written to one.
                wanted.extend(asked[wanted.len()..].iter().cloned());
                assert_eq!(asked, wanted, "{json}");
                if asked.len() > naive.simulations.len() {
                    continue;
                }
                let tree = search.tree();
                for node in tree.nodes() {
                    let place = &places[node as usize];
                    assert_eq!(
                        tree.visits(node) as usize,
                        naive.came(place).len(),
                        "{json} at {place:?}"
                    );
                    if node > 0 {
                        assert!(
                            (tree.value(node).unwrap() - naive.value(place)).abs() < 1e-12,
                            "{json} at {place:?}"
                        );
                    }
                }
                searches += 1;
            }
        }
    }
    assert!(searches > 60, "{searches}");
}

/// Level by level, as the papers write it: all of a level sorted anew.
fn naive_beam(world: &World, width: usize, expansions: usize, depth: usize) -> Vec<(Place, u32)> {
    let mut asked = vec![];
    let mut beams: Vec<Place> = vec![vec![]; width * expansions];
    for level in 1..=depth {
        let mut counts: Vec<(Place, u32)> = vec![];
        for beam in &beams {
            match counts.iter_mut().find(|(place, _)| place == beam) {
                Some((_, count)) => *count += 1,
                None => counts.push((beam.clone(), 1)),
            }
        }
        if level == 1 {
            asked.extend(vec![(vec![], expansions as u32); width]);
        } else {
            asked.extend(counts.clone());
        }
        if level == depth {
            break;
        }
        let mut active: Vec<Place> = vec![];
        for (place, count) in counts {
            let mut texts = BTreeSet::new();
            for ordinal in 0..count {
                let child = [&place[..], &[ordinal]].concat();
                if !world.ended(&child) && texts.insert(world.text(&child)) {
                    active.push(child);
                }
            }
        }
        if active.is_empty() {
            break;
        }
        let mut kept: Vec<usize> = (0..active.len()).collect();
        kept.sort_by(|&a, &b| {
            world
                .score(&active[b])
                .partial_cmp(&world.score(&active[a]))
                .unwrap()
                .then(a.cmp(&b))
        });
        kept.truncate(width);
        kept.sort_unstable();
        let survivors: Vec<_> = kept.into_iter().map(|index| active[index].clone()).collect();
        beams = survivors.iter().cycle().take(width * expansions).cloned().collect();
    }
    asked
}

#[test]
fn a_beam_grows_as_a_naive_one_does() {
    for world in worlds() {
        for (width, expansions, depth) in [(4, 4, 8), (1, 1, 5), (3, 2, 6), (2, 5, 40), (5, 1, 7)] {
            let json =
                format!(r#"{{ "strategy": "beam", "width": {width}, "expansions": {expansions}, "depth": {depth} }}"#);
            let (search, _, asked) = world.run(&config(&json));
            let mut wanted = naive_beam(&world, width, expansions, depth);
            if !search.solutions().is_empty() && asked.len() == wanted.len() + 1 {
                wanted.push(asked.last().unwrap().clone());
            }
            assert_eq!(asked, wanted, "{json} in world {}", world.seed);
        }
    }
}

/// The source's loop, line by line, in its f32.
fn naive_rebase(world: &World, width: i64, depth: usize) -> Vec<(Place, u32)> {
    let mut asked = vec![(vec![], width as u32)];
    let mut level: Vec<Place> = (0..width as u32).map(|ordinal| vec![ordinal]).collect();
    let mut remaining = width;
    for _ in 1..depth {
        let mut pairs: Vec<(f32, Place)> = vec![];
        for place in level {
            if world.ended(&place) {
                remaining -= 1;
            } else {
                pairs.push((world.score(&place), place));
            }
        }
        if remaining <= 0 || pairs.is_empty() {
            break;
        }
        pairs.sort_by(|a, b| a.0.partial_cmp(&b.0).unwrap());
        pairs.reverse();
        let weights: Vec<f32> = pairs.iter().map(|(score, _)| (score / 0.2f32).exp()).collect();
        let mut sum: f32 = weights.iter().sum();
        let mut left = remaining;
        level = vec![];
        for ((_, place), weight) in pairs.into_iter().zip(weights) {
            let count = (left as f32 * weight / sum).ceil() as i64;
            left -= count;
            sum -= weight;
            if count >= 1 {
                level.extend((0..count as u32).map(|ordinal| [&place[..], &[ordinal]].concat()));
                asked.push((place, count as u32));
            }
        }
    }
    asked
}

#[test]
fn rebase_grows_as_the_loop_of_its_source_does() {
    for world in worlds() {
        for (width, depth) in [(16, 6), (4, 9), (1, 5), (64, 4)] {
            let json = format!(r#"{{ "strategy": "rebase", "width": {width}, "depth": {depth} }}"#);
            let (_, _, asked) = world.run(&config(&json));
            let mut wanted = naive_rebase(&world, width, depth);
            wanted.extend(asked.get(wanted.len()..).unwrap_or_default().iter().take(1).cloned());
            assert_eq!(asked, wanted, "{json} in world {}", world.seed);
        }
    }
}

#[test]
fn a_node_widens_with_the_root_of_its_visits() {
    for world in worlds() {
        let json = r#"{ "strategy": "mcts", "simulations": 80, "children": 1, "batch": 1, "dedupe": false,
            "widening": { "factor": 1, "exponent": 0.5, "most": 5 } }"#;
        let (search, _, _) = world.run(&config(json));
        let tree = search.tree();
        let mut widest = 0;
        for node in tree.nodes().filter(|&node| !tree.is_finished(node)) {
            let children = tree.children(node).count();
            // A child more than the formula allows is there only where all below the others has ended.
            let open = tree.children(node).filter(|&child| !tree.is_finished(child)).count();
            let allowed = f64::from(tree.visits(node)).sqrt().ceil() as usize;
            assert!(
                children <= 5 && (children <= allowed.max(1) || open < children),
                "{children} of {allowed}"
            );
            widest = widest.max(children);
        }
        assert!(widest > 1);
    }
}
