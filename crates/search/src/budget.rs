//! The one place where a budget is kept: before a request goes out its most is reserved, and its caps are what fits.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::request::Caps;

/// What a search may use. What is `None` has no limit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Budget {
    /// Continuations that are asked, those that fail included.
    pub generations: Option<u64>,
    /// Tokens that the policy samples, those of lookaheads included.
    pub policy_tokens: Option<u64>,
    /// Tokens that the PRM computes.
    pub prm_tokens: Option<u64>,
    /// `costs.policy` · (sampled + prefilled tokens) + `costs.prm` · tokens of the PRM.
    pub flops: Option<f64>,
    /// Milliseconds since the first ask.
    pub ms: Option<u64>,
    pub costs: Costs,
    /// The part of each limit that is kept to bring one path to its end, as long as none is there.
    pub reserve: f64,
}

/// FLOPs of one token: about twice the model's parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Costs {
    pub policy: f64,
    pub prm: f64,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            generations: None,
            policy_tokens: None,
            prm_tokens: None,
            flops: None,
            ms: None,
            costs: Costs::default(),
            reserve: 0.2,
        }
    }
}

/// The limit that ended a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Limit {
    Generations,
    PolicyTokens,
    PrmTokens,
    Flops,
    Ms,
}

/// What a search has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spent {
    pub generations: u64,
    /// Of these: failed, or told as fewer than were asked.
    pub failures: u64,
    /// Of these: out when the search ended. What they used is not known.
    pub cancelled: u64,
    pub policy_tokens: u64,
    pub prefill_tokens: u64,
    pub prm_tokens: u64,
    pub flops: f64,
    /// Between the first ask and the last.
    pub ms: u64,
    /// Requests that brought more than their caps.
    pub overruns: u64,
}

impl Budget {
    pub(crate) fn check(&self) -> Result<()> {
        let bad = |field, message: &str| {
            Err(Error::Config {
                field,
                message: message.into(),
            })
        };
        if self.flops.is_some_and(|flops| !(flops.is_finite() && flops >= 0.0)) {
            return bad("flops", "must be a finite number, at least 0");
        }
        let Costs { policy, prm } = self.costs;
        if ![policy, prm].iter().all(|cost| cost.is_finite() && *cost >= 0.0) {
            return bad("costs", "must be finite numbers, at least 0");
        }
        if self.flops.is_some() && (policy == 0.0 || prm == 0.0) {
            return bad(
                "costs",
                "a budget of FLOPs needs what a token of the policy and of the PRM costs",
            );
        }
        if !(0.0..1.0).contains(&self.reserve) {
            return bad("reserve", "must be at least 0 and below 1");
        }
        Ok(())
    }

    /// Whether it ends any search, were every generation to fail at once.
    pub(crate) fn ends(&self) -> bool {
        self.generations.is_some() || self.policy_tokens.is_some() || self.flops.is_some() || self.ms.is_some()
    }
}

/// What a request would like to use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    pub(crate) count: u32,
    pub(crate) policy_tokens: u32,
    pub(crate) ahead_tokens: u32,
    pub(crate) scored: bool,
}

/// What a request may use at most, held back while it is out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reserved {
    generations: u64,
    policy_tokens: u64,
    prm_tokens: u64,
    flops: f64,
}

/// What any sum stays below, in a ledger that holds together.
const MOST_SUM: u64 = 1 << 60;

impl Reserved {
    pub(crate) fn generations(&self) -> u64 {
        self.generations
    }
}

#[derive(Debug)]
pub(crate) enum Fit {
    Goes {
        count: u32,
        caps: Caps,
        reserved: Reserved,
    },
    /// Not before a request that is out gives back what it did not need.
    Waits,
    Exhausted(Limit),
}

/// What a request has used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Use {
    /// Continuations that came.
    pub(crate) came: u32,
    pub(crate) policy_tokens: u64,
    pub(crate) prefill_tokens: u64,
    pub(crate) prm_tokens: u64,
    /// A continuation had more tokens than its cap.
    pub(crate) overran: bool,
    /// A continuation that should have scores had none.
    pub(crate) unscored: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ledger {
    budget: Budget,
    pub(crate) spent: Spent,
    reserved: Reserved,
    /// The most tokens that the PRM needed for a continuation so far.
    most_prm: u64,
    /// Why nothing further may be asked.
    stopped: Option<Limit>,
    /// The PRM's budget is too small for the next scores.
    prm_exhausted: bool,
}

impl Ledger {
    pub(crate) fn new(budget: Budget) -> Self {
        Self {
            budget,
            spent: Spent::default(),
            reserved: Reserved::default(),
            most_prm: 0,
            stopped: None,
            prm_exhausted: false,
        }
    }

    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
    }

    pub(crate) fn stopped(&self) -> Option<Limit> {
        self.stopped
    }

    /// Of `wish` what fits, with the `out` requests that are out, of at most `batch`. `kept`: the part that is kept.
    pub(crate) fn fit(&self, wish: Wish, out: usize, batch: usize, kept: f64) -> Fit {
        let slots = (batch - out.min(batch - 1)) as u64;
        let Wish {
            mut count,
            mut policy_tokens,
            mut ahead_tokens,
            scored,
        } = wish;
        let Costs { policy, prm } = self.budget.costs;

        if let Some(limit) = self.budget.generations {
            let left = free(limit, kept, self.spent.generations + self.reserved.generations);
            if left == 0 {
                return if out > 0 {
                    Fit::Waits
                } else {
                    Fit::Exhausted(Limit::Generations)
                };
            }
            count = count.min(u32::try_from(left).unwrap_or(u32::MAX));
        }

        // A continuation takes a token at least, whatever is told of it: a search cannot go on for nothing.
        let least = self.spent.generations + self.reserved.generations;
        if self.budget.policy_tokens.is_some_and(|limit| least >= limit) {
            return if out > 0 {
                Fit::Waits
            } else {
                Fit::Exhausted(Limit::PolicyTokens)
            };
        }
        #[allow(clippy::cast_precision_loss)]
        if self.budget.flops.is_some_and(|limit| least as f64 * policy >= limit) {
            return if out > 0 {
                Fit::Waits
            } else {
                Fit::Exhausted(Limit::Flops)
            };
        }

        let each = |policy_tokens: u32, ahead: u32| u64::from(policy_tokens) + u64::from(ahead);
        if let Some(limit) = self.budget.policy_tokens {
            let left = free(limit, kept, self.spent.policy_tokens + self.reserved.policy_tokens);
            match narrow(&mut count, &mut policy_tokens, &mut ahead_tokens, left, out) {
                Narrowed::Fits => {}
                Narrowed::Waits => return Fit::Waits,
                Narrowed::Exhausted => return Fit::Exhausted(Limit::PolicyTokens),
            }
        }
        let mut flops_cap = None;
        if let Some(limit) = self.budget.flops {
            let left = (limit * (1.0 - kept) - self.spent.flops - self.reserved.flops).max(0.0);
            let per_token = policy + if scored { prm } else { 0.0 };
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let tokens = (left / per_token) as u64;
            match narrow(&mut count, &mut policy_tokens, &mut ahead_tokens, tokens, out) {
                Narrowed::Fits => {}
                Narrowed::Waits => return Fit::Waits,
                Narrowed::Exhausted => return Fit::Exhausted(Limit::Flops),
            }
            #[allow(clippy::cast_precision_loss)]
            let needed = (u64::from(count) * each(policy_tokens, ahead_tokens)) as f64 * per_token;
            #[allow(clippy::cast_precision_loss)]
            let share = left / slots as f64;
            flops_cap = Some(share.max(needed).min(left));
        }
        let tokens = u64::from(count) * each(policy_tokens, ahead_tokens);

        let mut prm_cap = None;
        if scored {
            if let Some(limit) = self.budget.prm_tokens {
                let left = free(limit, kept, self.spent.prm_tokens + self.reserved.prm_tokens);
                let needed = self.most_prm.saturating_mul(u64::from(count));
                if left < needed.max(1) && out > 0 {
                    return Fit::Waits;
                }
                if left == 0 || self.prm_exhausted {
                    return Fit::Exhausted(Limit::PrmTokens);
                }
                prm_cap = Some((left / slots).max(needed).min(left));
            }
            if let Some(flops) = flops_cap {
                if self.prm_exhausted {
                    return Fit::Exhausted(Limit::Flops);
                }
                #[allow(
                    clippy::cast_precision_loss,
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss
                )]
                let left = ((flops - tokens as f64 * policy).max(0.0) / prm) as u64;
                prm_cap = Some(prm_cap.map_or(left, |cap| cap.min(left)));
            }
        }
        Fit::Goes {
            count,
            caps: Caps {
                policy_tokens,
                ahead_tokens,
                prm_tokens: prm_cap,
                flops: flops_cap,
            },
            reserved: Reserved {
                generations: u64::from(count),
                policy_tokens: tokens,
                prm_tokens: prm_cap.unwrap_or(0),
                flops: flops_cap.unwrap_or(0.0),
            },
        }
    }

    pub(crate) fn reserve(&mut self, most: &Reserved) {
        self.reserved.generations += most.generations;
        self.reserved.policy_tokens += most.policy_tokens;
        self.reserved.prm_tokens += most.prm_tokens;
        self.reserved.flops += most.flops;
    }

    fn release(&mut self, most: &Reserved, out: usize) {
        let held = &mut self.reserved;
        held.generations = held.generations.saturating_sub(most.generations);
        held.policy_tokens = held.policy_tokens.saturating_sub(most.policy_tokens);
        held.prm_tokens = held.prm_tokens.saturating_sub(most.prm_tokens);
        // Sums of floats do not come back to zero by themselves.
        held.flops = if out == 0 {
            0.0
        } else {
            (held.flops - most.flops).max(0.0)
        };
    }

    /// Takes in what a request has used, while `out` others are out. Returns the limits whose caps it broke.
    pub(crate) fn settle(&mut self, most: &Reserved, caps: &Caps, used: &Use, out: usize) -> Option<Limit> {
        self.release(most, out);
        let Costs { policy, prm } = self.budget.costs;
        #[allow(clippy::cast_precision_loss)]
        let flops = |sampled: u64, prefilled: u64, scored: u64| {
            sampled.saturating_add(prefilled) as f64 * policy + scored as f64 * prm
        };
        let spent = &mut self.spent;
        spent.generations += most.generations;
        spent.failures += most.generations - u64::from(used.came);
        spent.policy_tokens = spent.policy_tokens.saturating_add(used.policy_tokens);
        spent.prefill_tokens = spent.prefill_tokens.saturating_add(used.prefill_tokens);
        spent.prm_tokens = spent.prm_tokens.saturating_add(used.prm_tokens);
        spent.flops = flops(spent.policy_tokens, spent.prefill_tokens, spent.prm_tokens);
        let flops = flops(used.policy_tokens, used.prefill_tokens, used.prm_tokens);
        if used.came > 0 {
            self.most_prm = self.most_prm.max(used.prm_tokens.div_ceil(u64::from(used.came)));
        }
        self.prm_exhausted |= used.unscored;
        let broken = [
            (used.overran, Limit::PolicyTokens, self.budget.policy_tokens.is_some()),
            (
                caps.prm_tokens.is_some_and(|cap| used.prm_tokens > cap),
                Limit::PrmTokens,
                self.budget.prm_tokens.is_some(),
            ),
            (
                caps.flops.is_some() && flops > most.flops,
                Limit::Flops,
                self.budget.flops.is_some(),
            ),
        ];
        let any = broken.iter().any(|&(broke, ..)| broke);
        self.spent.overruns += u64::from(any);
        let limited = broken.iter().find(|&&(broke, _, limited)| broke && limited);
        self.stopped = self.stopped.or(limited.map(|&(_, limit, _)| limit));
        broken.iter().find(|&&(broke, ..)| broke).map(|&(_, limit, _)| limit)
    }

    /// Takes in that a request which is out will not be waited for.
    pub(crate) fn cancel(&mut self, most: &Reserved, out: usize) {
        self.release(most, out);
        self.spent.generations += most.generations;
        self.spent.cancelled += most.generations;
    }

    /// Whether it holds back what `out` hold together, and its sums leave room.
    pub(crate) fn is_sound<'a>(&self, out: impl Iterator<Item = &'a Reserved>) -> bool {
        let mut held = Reserved::default();
        for most in out {
            held.generations = held.generations.saturating_add(most.generations);
            held.policy_tokens = held.policy_tokens.saturating_add(most.policy_tokens);
            held.prm_tokens = held.prm_tokens.saturating_add(most.prm_tokens);
        }
        let Spent {
            generations,
            failures,
            cancelled,
            policy_tokens,
            prefill_tokens,
            prm_tokens,
            overruns,
            ..
        } = self.spent;
        let sums = [
            generations,
            failures,
            cancelled,
            policy_tokens,
            prefill_tokens,
            prm_tokens,
            overruns,
        ];
        self.budget.check().is_ok()
            && sums.into_iter().chain([self.most_prm]).all(|sum| sum < MOST_SUM)
            && [held.generations, held.policy_tokens, held.prm_tokens]
                .iter()
                .all(|&sum| sum < MOST_SUM)
            && self.reserved
                == Reserved {
                    flops: self.reserved.flops,
                    ..held
                }
            && self.reserved.flops.is_finite()
            && self.spent.flops.is_finite()
    }

    /// Takes back a request that nobody has seen.
    pub(crate) fn withdraw(&mut self, most: &Reserved, out: usize) {
        self.release(most, out);
    }
}

/// What is left of `limit`, less the part that is kept.
fn free(limit: u64, kept: f64, used: u64) -> u64 {
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )]
    let kept = (limit as f64 * kept).ceil() as u64;
    limit.saturating_sub(kept).saturating_sub(used)
}

enum Narrowed {
    Fits,
    Waits,
    Exhausted,
}

/// Fewer continuations where `left` tokens are not enough for all; shorter ones where they are not enough for one.
fn narrow(count: &mut u32, policy_tokens: &mut u32, ahead: &mut u32, left: u64, out: usize) -> Narrowed {
    let each = u64::from(*policy_tokens) + u64::from(*ahead);
    if u64::from(*count) * each <= left {
        return Narrowed::Fits;
    }
    if out > 0 {
        return Narrowed::Waits;
    }
    if left == 0 {
        return Narrowed::Exhausted;
    }
    *count = u32::try_from(left / each).unwrap_or(u32::MAX).clamp(1, *count);
    if left < each {
        *policy_tokens = u32::try_from(left).unwrap_or(u32::MAX).min(*policy_tokens);
        *ahead = u32::try_from(left - u64::from(*policy_tokens))
            .unwrap_or(u32::MAX)
            .min(*ahead);
    }
    Narrowed::Fits
}
