//! The order of things. A search has one course: plan while fewer than `batch` requests are out and the strategy names one
//! that fits the budget; otherwise take in what came of the oldest request that is out. Which requests the driver has been
//! handed, and in which order it tells, moves nothing in it; so the same tells give the same tree.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::budget::{Budget, Fit, Ledger, Limit, Reserved, Use, Wish};
use crate::choice::{self, Chosen};
use crate::config::{Common, Config};
use crate::event::Event;
use crate::path;
use crate::request::{Child, Lookahead, Request, Scoring, Until};
use crate::search::Finish;
use crate::strategy::{Plan, Purpose, State, Strategy};
use crate::tree::{MOST_COUNTED, New, NodeId, ROOT, Tree};

/// How often it is tried to bring a path to its end when none is there.
const MOST_CLOSINGS: u32 = 4;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Machine {
    config: Config,
    /// What `config` says, spelt out.
    pub(crate) common: Common,
    pub(crate) tree: Tree,
    strategy: State,
    pub(crate) ledger: Ledger,
    /// The requests that are out, the oldest first.
    pub(crate) out: VecDeque<Out>,
    /// The id of the next request that is planned.
    pub(crate) planned: u32,
    /// The id of the next request that the driver is handed.
    pub(crate) handed: u32,
    /// The number of the next node that is asked.
    asked: u32,
    closings: u32,
    /// The first and the latest `now`.
    clock: Option<(u64, u64)>,
    /// Why the latest plan did not fit.
    misfit: Option<Limit>,
    pub(crate) end: Option<End>,
    pub(crate) traced: bool,
    pub(crate) events: Vec<Event>,
}

/// A request on its way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Out {
    pub(crate) request: Request,
    plan: Plan,
    reserved: Reserved,
    /// The first of the nodes that will be.
    pub(crate) first: NodeId,
    /// What came of it, and has to wait until it is its turn.
    pub(crate) told: Option<Vec<Child>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct End {
    pub(crate) finish: Finish,
    pub(crate) limit: Option<Limit>,
}

impl Machine {
    pub(crate) fn new(config: Config, budget: Budget) -> Self {
        let mut tree = Tree::new();
        let strategy = State::new(&config, &mut tree);
        Self {
            common: config.common(),
            config,
            strategy,
            asked: tree.len(),
            tree,
            ledger: Ledger::new(budget),
            out: VecDeque::new(),
            planned: 0,
            handed: 0,
            closings: 0,
            clock: None,
            misfit: None,
            end: None,
            traced: false,
            events: Vec::new(),
        }
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// The request that is out under this id, by its place.
    pub(crate) fn place(&self, id: u32) -> Option<usize> {
        let oldest = self.out.front()?.request.id;
        let place = id.checked_sub(oldest)? as usize;
        (place < self.out.len()).then_some(place)
    }

    /// Takes note of the time and goes on.
    pub(crate) fn tick(&mut self, now: u64) {
        let (first, latest) = self.clock.unwrap_or((now, now));
        // A clock that goes back stands still.
        let latest = latest.max(now);
        self.clock = Some((first, latest));
        if self.end.is_some() {
            return;
        }
        self.ledger.spent.ms = latest.saturating_sub(first);
        if self
            .ledger
            .budget()
            .ms
            .is_some_and(|limit| self.ledger.spent.ms >= limit)
        {
            return self.finish(Finish::Budget, Some(Limit::Ms));
        }
        self.go_on();
    }

    /// Goes on as far as it can without another tell.
    pub(crate) fn go_on(&mut self) {
        if self.end.is_some() {
            return;
        }
        let batch = self.common.batch as usize;
        loop {
            while self.out.len() < batch && self.plan(batch) {}
            match self.out.front().is_some_and(|oldest| oldest.told.is_some()) {
                true => self.settle_oldest(),
                false => break,
            }
        }
        if self.out.is_empty() {
            let limit = self.ledger.stopped().or(self.misfit);
            let finish = if limit.is_some() {
                Finish::Budget
            } else {
                Finish::Complete
            };
            self.finish(finish, limit);
        }
    }

    /// What the oldest request brought, told at once.
    pub(crate) fn tell_oldest(&mut self, children: &[Child]) {
        if let Some(out) = self.out.pop_front() {
            self.settle(&out, children);
        }
        self.go_on();
    }

    fn settle_oldest(&mut self) {
        if let Some(out) = self.out.pop_front() {
            self.settle(&out, out.told.as_deref().unwrap_or_default());
        }
    }

    /// Plans one request, if the strategy has one and the budget allows it.
    fn plan(&mut self, batch: usize) -> bool {
        self.misfit = None;
        if self.ledger.stopped().is_some() {
            return false;
        }
        let kept = if self.tree.any_ended() {
            0.0
        } else {
            self.ledger.budget().reserve
        };
        // Of the last part of the time only the end of a path is begun, as long as there is none.
        #[allow(clippy::cast_precision_loss)]
        let late = |limit: u64| self.ledger.spent.ms as f64 >= limit as f64 * (1.0 - kept);
        let late = self.ledger.budget().ms.is_some_and(late);
        if let Some(plan) = self.strategy.next(&self.tree) {
            // Nothing is kept from what goes to the end of an answer itself.
            let kept = if plan.until == Until::Answer { 0.0 } else { kept };
            if late && kept > 0.0 {
                self.misfit = Some(Limit::Ms);
            } else {
                match self.fit(&plan, batch, kept) {
                    Fit::Goes { count, caps, reserved } => return self.send(plan, count, caps, &reserved),
                    Fit::Waits => return false,
                    Fit::Exhausted(limit) => self.misfit = Some(limit),
                }
            }
        }
        if !self.out.is_empty() || self.tree.any_ended() || self.closings == MOST_CLOSINGS {
            return false;
        }
        let untried = |node| !self.tree.was_closing(node);
        let untouched = (!self.tree.was_asked(ROOT)).then_some(ROOT);
        let Some(node) = untouched.or_else(|| choice::open_leaf(&self.tree, untried)) else {
            return false;
        };
        let plan = Plan {
            purpose: Purpose::Close,
            ..Plan::grow(node, 1, Until::Answer)
        };
        match self.fit(&plan, batch, 0.0) {
            Fit::Goes { count, caps, reserved } => {
                self.closings += 1;
                self.tree.set_closing(node);
                self.send(plan, count, caps, &reserved)
            }
            Fit::Waits => false,
            Fit::Exhausted(limit) => {
                self.misfit = Some(limit);
                false
            }
        }
    }

    fn fit(&self, plan: &Plan, batch: usize, kept: f64) -> Fit {
        let common = self.common;
        // A stem's own tokens are not known; those of the whole continuation are at least as many.
        let before = plan.stem.map_or(plan.node, |stem| stem.of);
        let room = common.answer_tokens.saturating_sub(match plan.stem {
            Some(stem) => self.stem_tokens(before, stem.steps),
            None => self.tree.tokens(before),
        });
        let policy_tokens = match plan.until {
            Until::Step => common.step_tokens.min(room),
            Until::Answer => room,
        };
        let ahead_tokens = match plan.lookahead {
            Lookahead::None => 0,
            Lookahead::Steps(steps) => common.step_tokens.saturating_mul(steps).min(room - policy_tokens),
            Lookahead::Answer => room - policy_tokens,
        };
        let wish = Wish {
            count: plan.count,
            policy_tokens: policy_tokens.max(1),
            ahead_tokens,
            scored: common.scored,
        };
        self.ledger.fit(wish, self.out.len(), batch, kept)
    }

    /// Tokens up to the end of the first `steps` new steps of `node`, by their share.
    fn stem_tokens(&self, node: NodeId, steps: u32) -> u32 {
        let before = self.tree.parent(node).map_or(0, |parent| self.tree.tokens(parent));
        let own = u64::from(self.tree.tokens(node) - before);
        let share = own * u64::from(steps) / u64::from(self.tree.steps(node).max(1));
        before.saturating_add(u32::try_from(share).unwrap_or(u32::MAX))
    }

    fn send(&mut self, mut plan: Plan, count: u32, caps: crate::request::Caps, reserved: &Reserved) -> bool {
        // Nothing is out when a strategy asks for a stem, so its row is the next.
        if let Some(stem) = plan.stem {
            plan.node = self.add_stem(plan.node, stem.of, stem.steps);
        }
        let common = self.common;
        let ordinal = self.tree.ask(plan.node, count);
        let one_score = [common.rank, common.aggregate]
            .iter()
            .all(|&by| by == crate::Aggregate::Last);
        let request = Request {
            id: self.planned,
            node: plan.node,
            stem: plan.stem,
            count,
            until: plan.until,
            score: match common.scored {
                false => Scoring::None,
                true if one_score => Scoring::Last,
                true => Scoring::All,
            },
            lookahead: plan.lookahead,
            priors: common.priors,
            caps,
            path: path::number(self.tree.path(plan.node), ordinal),
        };
        self.strategy.asked(&mut self.tree, &plan, count);
        self.ledger.reserve(reserved);
        self.out.push_back(Out {
            request,
            plan,
            reserved: *reserved,
            first: self.asked,
            told: None,
        });
        self.planned += 1;
        self.asked += count;
        if self.traced {
            self.events.push(Event::Expanded {
                request: request.id,
                node: request.node,
                count,
            });
        }
        true
    }

    fn add_stem(&mut self, parent: NodeId, of: NodeId, steps: u32) -> NodeId {
        let kept = self.tree.scores(of).len().min(steps as usize);
        let scores = self.tree.scores(of)[..kept].to_vec();
        let mut all = self.tree.path_scores(parent);
        all.extend_from_slice(&scores);
        let new = New {
            parent,
            tokens: self.stem_tokens(of, steps) - self.tree.tokens(parent),
            steps,
            estimate: self.common.rank.of(&all),
            text: None,
            path: path::number(self.tree.path(of), steps),
            log_prior: 0.0,
            ended: false,
            cut: false,
            repeated: false,
        };
        self.asked += 1;
        self.tree.add(&new, &scores)
    }

    /// Takes in what came of a request that is not out any more.
    fn settle(&mut self, out: &Out, children: &[Child]) {
        let Out {
            request, plan, first, ..
        } = out;
        let used = self.used(request, children);
        let broken = self.ledger.settle(&out.reserved, &request.caps, &used, self.out.len());
        for (index, child) in children.iter().enumerate() {
            self.adopt(request, index as u32, child);
        }
        for _ in children.len()..request.count as usize {
            self.tree.add_void(request.node);
        }
        debug_assert_eq!(self.tree.len(), first + request.count);
        self.strategy
            .settled(&mut self.tree, plan, *first..first + request.count);
        let pruned = self.tree.take_pruned().into_iter().map(|node| Event::Pruned { node });
        let found: Vec<_> = pruned.chain(self.strategy.take_found()).collect();
        if self.traced {
            self.trace(request, *first, children, found, broken);
        }
    }

    fn used(&self, request: &Request, children: &[Child]) -> Use {
        let mut used = Use {
            came: children.len() as u32,
            ..Use::default()
        };
        for child in children {
            used.policy_tokens += u64::from(child.policy_tokens) + u64::from(child.ahead_tokens);
            used.prefill_tokens += u64::from(child.prefill_tokens);
            used.prm_tokens += u64::from(child.prm_tokens);
            used.overran |= child.policy_tokens > request.caps.policy_tokens;
            used.overran |= child.ahead_tokens > request.caps.ahead_tokens;
            used.unscored |= request.score != Scoring::None && child.steps > 0 && child.scores.is_empty();
        }
        used
    }

    /// Makes a node of a continuation.
    fn adopt(&mut self, request: &Request, index: u32, child: &Child) {
        let common = self.common;
        let parent = request.node;
        let empty = child.steps == 0;
        let full = self.tree.tokens(parent).saturating_add(child.policy_tokens) >= common.answer_tokens;
        // An answer without a step is none.
        let ended = (child.ended || empty) && !(empty && parent == ROOT);
        let cut = !ended && (child.cut || empty || full || request.until == Until::Answer);
        let text = child.text.filter(|_| common.dedupe);
        let new = New {
            parent,
            tokens: child.policy_tokens,
            steps: child.steps,
            estimate: self.estimate(request, child),
            text,
            path: path::number(request.path, index),
            log_prior: child.log_prior.filter(|_| request.priors).unwrap_or(0.0),
            ended,
            cut,
            repeated: !ended && !cut && text.is_some_and(|text| self.tree.repeats(parent, text)),
        };
        let node = self.tree.add(&new, &child.scores);
        if common.graded {
            let by_budget = cut && !full && child.policy_tokens >= request.caps.policy_tokens;
            self.tree.set_verdict(node, child.correct == Some(true), by_budget);
            self.tree.set_prefixes(node, &child.prefixes);
        }
    }

    /// What the strategy ranks a continuation by; `None` where the PRM has not seen all of its path.
    fn estimate(&self, request: &Request, child: &Child) -> Option<f64> {
        if request.score == Scoring::None {
            return None;
        }
        let parent = request.node;
        let seen = parent == ROOT || self.tree.estimate(parent).is_some();
        if !seen || (child.steps > 0 && child.scores.is_empty()) {
            return None;
        }
        if let Some(rollout) = child.rollout {
            return Some(f64::from(rollout));
        }
        let rank = self.common.rank;
        if rank == crate::Aggregate::Last
            && let Some(&last) = child.ahead.last().or(child.scores.last())
        {
            return Some(f64::from(last));
        }
        let mut scores = self.tree.path_scores(parent);
        scores.extend_from_slice(&child.scores);
        scores.extend_from_slice(&child.ahead);
        rank.of(&scores)
    }

    fn trace(
        &mut self,
        request: &Request,
        first: NodeId,
        children: &[Child],
        found: Vec<Event>,
        broken: Option<Limit>,
    ) {
        let id = request.id;
        for (child, node) in children.iter().zip(first..) {
            self.events.push(Event::Sampled {
                request: id,
                node,
                parent: request.node,
                policy_tokens: child.policy_tokens,
                ended: self.tree.has_ended(node),
                cut: self.tree.is_cut(node),
            });
            if let Some(value) = self.tree.estimate(node) {
                self.events.push(Event::Scored { node, value });
            }
        }
        let missing = request.count - children.len() as u32;
        if missing > 0 {
            self.events.push(Event::Failed {
                request: id,
                node: request.node,
                count: missing,
            });
        }
        self.events.extend(found);
        if let Some(limit) = broken {
            self.events.push(Event::Overrun { request: id, limit });
        }
        self.events.push(Event::Budget {
            spent: self.ledger.spent,
        });
    }

    /// Ends the search with what has been told by now.
    pub(crate) fn finish(&mut self, finish: Finish, limit: Option<Limit>) {
        if self.end.is_some() {
            return;
        }
        while let Some(out) = self.out.pop_front() {
            if let Some(children) = &out.told {
                self.settle(&out, children);
                continue;
            }
            let left = self.out.len();
            if out.request.id < self.handed {
                self.ledger.cancel(&out.reserved, left);
            } else {
                self.ledger.withdraw(&out.reserved, left);
            }
            for _ in 0..out.request.count {
                self.tree.add_void(out.request.node);
            }
        }
        self.handed = self.planned;
        self.end = Some(End { finish, limit });
        if self.traced {
            let chosen = self.best();
            self.events.push(Event::Chosen { chosen });
        }
    }

    pub(crate) fn best(&self) -> Option<Chosen> {
        let common = self.common;
        choice::best(&self.tree, common.choose, common.aggregate)
    }

    /// Whether what came from elsewhere can be gone on with.
    pub(crate) fn is_sound(&self) -> bool {
        let length = self.tree.len();
        let mut next = length;
        let follows = |out: &Out| {
            let Out {
                request,
                plan,
                reserved,
                ..
            } = out;
            let stem = request.stem.is_none_or(|stem| stem.of < length);
            let fits = out.first == next && request.count >= 1 && request.node < length && stem;
            let told = out
                .told
                .as_ref()
                .is_none_or(|told| told.len() <= request.count as usize);
            next = next.saturating_add(request.count);
            fits && told && plan.node == request.node && reserved.generations() == u64::from(request.count)
        };
        let ids =
            |(place, out): (usize, &Out)| out.request.id as usize + self.out.len() == self.planned as usize + place;
        self.common == self.config.common()
            && self.tree.is_sound()
            && self.out.iter().all(follows)
            && self.asked == next
            && [self.asked, self.planned, self.closings]
                .iter()
                .all(|&count| count < MOST_COUNTED)
            && self.ledger.is_sound(self.out.iter().map(|out| &out.reserved))
            && self.out.iter().enumerate().all(ids)
            && (self.planned - self.out.len() as u32..=self.planned).contains(&self.handed)
            && (self.end.is_none() || self.out.is_empty())
            && self.out.len() <= self.common.batch as usize
            && self.strategy.is_of(&self.config)
            && self.strategy.is_sound(length)
    }
}
