//! What a search is set to do: one plain object per strategy. The defaults are those of the papers and codes that the
//! strategies' files name.

use serde::{Deserialize, Serialize};

use crate::aggregate::Aggregate;
use crate::choice::Choice;
use crate::error::{Error, Result};

/// A strategy with its settings. In serde's formats: `{ "strategy": "beam", "width": 4 }`; what is not named has its default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "strategy", rename_all = "camelCase")]
pub enum Config {
    BestOfN(BestOfN),
    Majority(Majority),
    WeightedVote(WeightedVote),
    Beam(Beam),
    Dvts(Dvts),
    Rebase(Rebase),
    Mcts(Mcts),
    Refine(Refine),
    Omega(Omega),
}

/// `n` whole answers; the one with the highest score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct BestOfN {
    pub n: u32,
    /// Requests that may be out at once.
    pub batch: u32,
    /// Policy tokens that an answer may have.
    pub answer_tokens: u32,
    /// Step scores → score of the answer.
    pub aggregate: Aggregate,
}

/// `n` whole answers; the one that most of them give. The PRM is never asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Majority {
    pub n: u32,
    pub batch: u32,
    pub answer_tokens: u32,
}

/// `n` whole answers; the one whose solutions have the most score together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct WeightedVote {
    pub n: u32,
    pub batch: u32,
    pub answer_tokens: u32,
    pub aggregate: Aggregate,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Beam {
    /// Prefixes that survive a level: N/M of the papers.
    pub width: u32,
    /// Continuations per survivor: M. A level has width · expansions continuations, however few survive.
    pub expansions: u32,
    /// Levels at most; the last one is written to the end.
    pub depth: u32,
    /// Whether a continuation with the text of an earlier one of its prefix is left out.
    pub dedupe: bool,
    /// Steps to look ahead before a continuation is scored.
    pub lookahead: u32,
    pub batch: u32,
    /// Policy tokens that a step may have.
    pub step_tokens: u32,
    /// Policy tokens that a path may have.
    pub answer_tokens: u32,
    /// Step scores → what survivors are chosen by.
    pub rank: Aggregate,
    /// Step scores → score of a solution.
    pub aggregate: Aggregate,
    pub choose: Choice,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Dvts {
    /// Subtrees: N/M of the paper.
    pub trees: u32,
    /// Continuations per step of a subtree: M.
    pub expansions: u32,
    pub depth: u32,
    pub lookahead: u32,
    pub batch: u32,
    pub step_tokens: u32,
    pub answer_tokens: u32,
    pub rank: Aggregate,
    pub aggregate: Aggregate,
    pub choose: Choice,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Rebase {
    /// Continuations of the first level; each finished path takes one away.
    pub width: u32,
    /// T of the softmax that shares them out.
    pub temperature: f64,
    pub depth: u32,
    pub batch: u32,
    pub step_tokens: u32,
    pub answer_tokens: u32,
    pub rank: Aggregate,
    pub aggregate: Aggregate,
    pub choose: Choice,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Mcts {
    /// Expansions at most; `None`: as many as the budget allows.
    pub simulations: Option<u32>,
    /// Continuations of an expansion.
    pub children: u32,
    pub select: Select,
    /// How a child without a visit is valued.
    pub unvisited: Unvisited,
    /// `None`: a node is expanded once.
    pub widening: Option<Widening>,
    /// What a selection makes of the simulations that are out.
    pub parallel: Parallel,
    pub value: Value,
    pub leaf: Leaf,
    pub backup: Backup,
    pub depth: u32,
    pub dedupe: bool,
    pub batch: u32,
    pub step_tokens: u32,
    pub answer_tokens: u32,
    pub rank: Aggregate,
    pub aggregate: Aggregate,
    pub choose: Choice,
}

/// Which child a simulation goes to: the one with the highest of these.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "camelCase", deny_unknown_fields)]
pub enum Select {
    /// [`uct`](crate::formulas::uct).
    Uct {
        #[serde(default = "one")]
        c: f64,
    },
    /// [`puct`](crate::formulas::puct). `prior`: what P is.
    Puct {
        #[serde(default = "puct_base")]
        base: f64,
        #[serde(default = "puct_init")]
        init: f64,
        #[serde(default)]
        prior: Prior,
    },
}

/// A child's share of its siblings' probability.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "camelCase", deny_unknown_fields)]
pub enum Prior {
    /// The softmax, at this temperature, of the siblings' log-probabilities, which the driver has to tell.
    LogProbability {
        #[serde(default = "one")]
        temperature: f64,
    },
    /// The same for all.
    Uniform,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Unvisited {
    /// By its own first value, as if it had been visited once.
    Value,
    /// Above all others: each child is visited before any is visited twice.
    First,
}

/// A node may have ⌈factor · visits^exponent⌉ children, up to `most`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Widening {
    pub factor: f64,
    pub exponent: f64,
    pub most: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "camelCase", deny_unknown_fields)]
pub enum Parallel {
    /// They count as visits, not in the mean: WU-UCT.
    WuUct,
    /// Each counts as `count` visits that brought −`loss`.
    VirtualLoss { count: f64, loss: f64 },
}

/// What a new node's first value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Value {
    /// Its PRM scores.
    Prm,
    /// The scores, or another judge's verdict, of its rollout.
    Rollout,
}

/// What a simulation brings up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Leaf {
    /// The values of the new children: their mean, or their maximum under `max` backup.
    Children,
    /// The first value of the node that was expanded, as in AlphaZero.
    Own,
}

/// What a node makes of the values that come up through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Backup {
    Mean,
    Max,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Refine {
    /// How often a weak step is gone back to.
    pub rounds: u32,
    /// Continuations per round, and of the first.
    pub samples: u32,
    /// A step that scores below is weak.
    pub threshold: f64,
    pub answer_tokens: u32,
    pub aggregate: Aggregate,
    pub choose: Choice,
}

/// OmegaPRM: step labels by a tree of graded rollouts. One request is out at a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Omega {
    /// Rollouts from each prefix: k.
    pub rollouts: u32,
    /// Wrong rollouts that are searched for their first error, at most.
    pub searches: u32,
    /// α of [`omega_q`](crate::formulas::omega_q).
    pub alpha: f64,
    /// β of it.
    pub beta: f64,
    /// L of it, in tokens.
    pub length: f64,
    /// c of [`omega_u`](crate::formulas::omega_u).
    pub c: f64,
    /// Fresh rollouts from behind a first error before it is told; 0: none. `None`: twice `rollouts`.
    pub retest: Option<u32>,
    pub answer_tokens: u32,
}

impl Omega {
    pub(crate) fn again(&self) -> u32 {
        self.retest.unwrap_or(2 * self.rollouts)
    }
}

impl Default for Omega {
    fn default() -> Self {
        Self {
            rollouts: 8,
            searches: 100,
            alpha: 0.5,
            beta: 0.9,
            length: 500.0,
            c: 0.125,
            retest: None,
            answer_tokens: 2048,
        }
    }
}

impl Default for BestOfN {
    fn default() -> Self {
        let (n, batch, answer_tokens) = (8, 8, 2048);
        Self {
            n,
            batch,
            answer_tokens,
            aggregate: Aggregate::Min,
        }
    }
}

impl Default for Majority {
    fn default() -> Self {
        let (n, batch, answer_tokens) = (8, 8, 2048);
        Self {
            n,
            batch,
            answer_tokens,
        }
    }
}

impl Default for WeightedVote {
    fn default() -> Self {
        let (n, batch, answer_tokens) = (8, 8, 2048);
        Self {
            n,
            batch,
            answer_tokens,
            aggregate: Aggregate::Min,
        }
    }
}

impl Default for Beam {
    fn default() -> Self {
        Self {
            width: 4,
            expansions: 4,
            depth: 40,
            dedupe: true,
            lookahead: 0,
            batch: 4,
            step_tokens: 512,
            answer_tokens: 8192,
            rank: Aggregate::Last,
            aggregate: Aggregate::Min,
            choose: Choice::Vote,
        }
    }
}

impl Default for Dvts {
    fn default() -> Self {
        Self {
            trees: 4,
            expansions: 4,
            depth: 40,
            lookahead: 0,
            batch: 4,
            step_tokens: 512,
            answer_tokens: 8192,
            rank: Aggregate::Last,
            aggregate: Aggregate::Min,
            choose: Choice::Vote,
        }
    }
}

impl Default for Rebase {
    fn default() -> Self {
        Self {
            width: 16,
            temperature: 0.2,
            depth: 25,
            batch: 16,
            step_tokens: 256,
            answer_tokens: 1024,
            rank: Aggregate::Last,
            aggregate: Aggregate::Min,
            choose: Choice::Vote,
        }
    }
}

impl Default for Mcts {
    fn default() -> Self {
        Self {
            simulations: None,
            children: 4,
            select: Select::Uct { c: one() },
            unvisited: Unvisited::Value,
            widening: None,
            parallel: Parallel::WuUct,
            value: Value::Prm,
            leaf: Leaf::Children,
            backup: Backup::Mean,
            depth: 40,
            dedupe: true,
            batch: 4,
            step_tokens: 512,
            answer_tokens: 8192,
            rank: Aggregate::Last,
            aggregate: Aggregate::Min,
            choose: Choice::Vote,
        }
    }
}

impl Default for Refine {
    fn default() -> Self {
        Self {
            rounds: 8,
            samples: 1,
            threshold: 0.5,
            answer_tokens: 2048,
            aggregate: Aggregate::Min,
            choose: Choice::Best,
        }
    }
}

impl Default for Prior {
    fn default() -> Self {
        Self::LogProbability { temperature: one() }
    }
}

fn one() -> f64 {
    1.0
}

fn puct_base() -> f64 {
    19652.0
}

fn puct_init() -> f64 {
    1.25
}

/// What every strategy has a say in.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Common {
    pub(crate) batch: u32,
    pub(crate) step_tokens: u32,
    pub(crate) answer_tokens: u32,
    pub(crate) rank: Aggregate,
    pub(crate) aggregate: Aggregate,
    pub(crate) choose: Choice,
    pub(crate) dedupe: bool,
    pub(crate) scored: bool,
    pub(crate) priors: bool,
    /// Whether each continuation is told right or wrong.
    pub(crate) graded: bool,
}

impl Config {
    pub(crate) fn common(&self) -> Common {
        let sampled = |batch, answer_tokens, aggregate, choose| Common {
            batch,
            step_tokens: answer_tokens,
            answer_tokens,
            rank: aggregate,
            aggregate,
            choose,
            dedupe: false,
            scored: true,
            priors: false,
            graded: false,
        };
        match self {
            Self::BestOfN(of) => sampled(of.batch, of.answer_tokens, of.aggregate, Choice::Best),
            Self::Majority(of) => Common {
                scored: false,
                ..sampled(of.batch, of.answer_tokens, Aggregate::Last, Choice::Majority)
            },
            Self::Omega(of) => Common {
                scored: false,
                graded: true,
                ..sampled(1, of.answer_tokens, Aggregate::Last, Choice::Majority)
            },
            Self::WeightedVote(of) => sampled(of.batch, of.answer_tokens, of.aggregate, Choice::Vote),
            Self::Refine(of) => sampled(1, of.answer_tokens, of.aggregate, of.choose),
            Self::Beam(of) => Common {
                step_tokens: of.step_tokens,
                rank: of.rank,
                dedupe: of.dedupe,
                ..sampled(of.batch, of.answer_tokens, of.aggregate, of.choose)
            },
            Self::Dvts(of) => Common {
                step_tokens: of.step_tokens,
                rank: of.rank,
                ..sampled(of.batch, of.answer_tokens, of.aggregate, of.choose)
            },
            Self::Rebase(of) => Common {
                step_tokens: of.step_tokens,
                rank: of.rank,
                ..sampled(of.batch, of.answer_tokens, of.aggregate, of.choose)
            },
            Self::Mcts(of) => Common {
                step_tokens: of.step_tokens,
                rank: of.rank,
                dedupe: of.dedupe,
                priors: matches!(
                    of.select,
                    Select::Puct {
                        prior: Prior::LogProbability { .. },
                        ..
                    }
                ),
                ..sampled(of.batch, of.answer_tokens, of.aggregate, of.choose)
            },
        }
    }

    /// Whether it ends without a budget.
    pub(crate) fn ends(&self) -> bool {
        !matches!(self, Self::Mcts(Mcts { simulations: None, .. }))
    }

    pub(crate) fn check(&self) -> Result<()> {
        let Common {
            batch,
            step_tokens,
            answer_tokens,
            choose,
            ..
        } = self.common();
        whole("batch", batch, MOST_BATCH)?;
        whole("stepTokens", step_tokens, MOST_TOKENS)?;
        whole("answerTokens", answer_tokens, MOST_TOKENS)?;
        let mcts = matches!(self, Self::Mcts(_));
        if !mcts && matches!(choose, Choice::Visits | Choice::Value) {
            return bad("choose", "visits and values are counted by mcts only");
        }
        match self {
            Self::BestOfN(BestOfN { n, .. }) | Self::Majority(Majority { n, .. }) => whole("n", *n, MOST_COUNT),
            Self::WeightedVote(WeightedVote { n, .. }) => whole("n", *n, MOST_COUNT),
            Self::Beam(of) => {
                whole("width", of.width, MOST_COUNT)?;
                whole("expansions", of.expansions, MOST_COUNT / of.width)?;
                whole("depth", of.depth, MOST_DEPTH)?;
                at_most("lookahead", of.lookahead, MOST_DEPTH)
            }
            Self::Dvts(of) => {
                whole("trees", of.trees, MOST_COUNT)?;
                whole("expansions", of.expansions, MOST_COUNT / of.trees)?;
                whole("depth", of.depth, MOST_DEPTH)?;
                at_most("lookahead", of.lookahead, MOST_DEPTH)
            }
            Self::Rebase(of) => {
                whole("width", of.width, MOST_COUNT)?;
                whole("depth", of.depth, MOST_DEPTH)?;
                above_zero("temperature", of.temperature)
            }
            Self::Mcts(of) => of.check(),
            Self::Omega(of) => of.check(),
            Self::Refine(of) => {
                whole("samples", of.samples, MOST_COUNT)?;
                at_most("rounds", of.rounds, MOST_COUNT)?;
                if of.threshold.is_finite() {
                    Ok(())
                } else {
                    bad("threshold", "must be finite")
                }
            }
        }
    }
}

impl Omega {
    fn check(&self) -> Result<()> {
        whole("rollouts", self.rollouts, MOST_COUNT)?;
        at_most("searches", self.searches, MOST_COUNT)?;
        above_zero("alpha", self.alpha)?;
        above_zero("beta", self.beta)?;
        above_zero("length", self.length)?;
        at_least_zero("c", self.c)?;
        at_most("retest", self.again(), 2 * MOST_COUNT)
    }
}

impl Mcts {
    fn check(&self) -> Result<()> {
        whole("children", self.children, MOST_COUNT)?;
        whole("depth", self.depth, MOST_DEPTH)?;
        match self.select {
            Select::Uct { c } => at_least_zero("select.c", c)?,
            Select::Puct { base, init, prior } => {
                above_zero("select.base", base)?;
                at_least_zero("select.init", init)?;
                if let Prior::LogProbability { temperature } = prior {
                    above_zero("select.prior.temperature", temperature)?;
                }
            }
        }
        if let Some(Widening { factor, exponent, most }) = self.widening {
            above_zero("widening.factor", factor)?;
            at_least_zero("widening.exponent", exponent)?;
            whole("widening.most", most, MOST_COUNT)?;
        }
        if let Parallel::VirtualLoss { count, loss } = self.parallel {
            at_least_zero("parallel.count", count)?;
            at_least_zero("parallel.loss", loss)?;
        }
        Ok(())
    }
}

/// More than these is a slip.
const MOST_COUNT: u32 = 100_000;
const MOST_BATCH: u32 = 100_000;
const MOST_DEPTH: u32 = 10_000;
const MOST_TOKENS: u32 = 10_000_000;

fn bad<T>(field: &'static str, message: impl Into<String>) -> Result<T> {
    let message = message.into();
    Err(Error::Config { field, message })
}

fn whole(field: &'static str, number: u32, most: u32) -> Result<()> {
    if (1..=most).contains(&number) {
        return Ok(());
    }
    bad(field, format!("must be from 1 to {most}, got {number}"))
}

fn at_most(field: &'static str, number: u32, most: u32) -> Result<()> {
    if number <= most {
        return Ok(());
    }
    bad(field, format!("must be at most {most}, got {number}"))
}

fn above_zero(field: &'static str, number: f64) -> Result<()> {
    if number.is_finite() && number > 0.0 {
        return Ok(());
    }
    bad(field, format!("must be finite and above 0, got {number}"))
}

fn at_least_zero(field: &'static str, number: f64) -> Result<()> {
    if number.is_finite() && number >= 0.0 {
        return Ok(());
    }
    bad(field, format!("must be finite and at least 0, got {number}"))
}
