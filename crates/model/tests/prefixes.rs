//! The prefix cache against a store that remembers which token lies in which slot.

use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;
use surefoot_model::batch::{Batch, Change, PAGE};
use surefoot_model::prefixes::{Kept, Prefixes, Sequence};

const PAGE_BYTES: usize = 1 << 20;

/// Slots that hold a token with all tokens before it, as keys and values do.
#[derive(Default)]
struct Store {
    pages: HashMap<u32, Vec<Option<Vec<u32>>>>,
    most: usize,
}

impl Store {
    fn change(&mut self, changes: &[Change]) {
        for change in changes {
            match *change {
                Change::Allocate(page) => {
                    assert!(self.pages.insert(page, vec![None; PAGE]).is_none(), "allocated twice");
                }
                Change::Free(page) => assert!(self.pages.remove(&page).is_some(), "freed twice"),
                Change::Copy { from, to, slots } => {
                    let copied = self.pages[&from][..slots].to_vec();
                    assert!(copied.iter().all(Option::is_some), "copies what is not there");
                    self.pages.get_mut(&to).unwrap()[..slots].clone_from_slice(&copied);
                }
            }
        }
        self.most = self.most.max(self.pages.len());
    }

    /// Runs a batch: each row sees exactly its prefix, and its output is a fingerprint of that.
    fn run(&mut self, batch: &Batch) -> Vec<Arc<Vec<f32>>> {
        let mut prefixes = vec![vec![]; batch.ids.len()];
        // As in a layer: the keys and values of all rows are written before any row attends.
        for round in 0..2 {
            for span in &batch.spans {
                let mut before = 0;
                for row in span.rows.clone() {
                    let position = batch.positions[row] as usize;
                    assert!(row == span.rows.start || position > before, "positions ascend");
                    before = position;
                    if round == 1 {
                        let seen = (0..=position).map(|at| {
                            let slot = &self.pages[&span.pages[at / PAGE]][at % PAGE];
                            let prefix = slot.as_ref().expect("a slot that was written");
                            assert_eq!(prefix.len(), at + 1);
                            *prefix.last().unwrap()
                        });
                        prefixes[row] = seen.collect();
                        assert_eq!(prefixes[row][position], batch.ids[row]);
                        let own = self.pages[&span.pages[position / PAGE]][position % PAGE]
                            .as_ref()
                            .unwrap();
                        assert_eq!(own, &prefixes[row], "the slots of a table belong to one sequence");
                    }
                }
            }
            if round == 0 {
                self.write(batch);
            }
        }
        batch.reads.iter().map(|&row| output(&prefixes[row])).collect()
    }

    fn write(&mut self, batch: &Batch) {
        // A row's prefix comes from its span's table and the rows before it.
        let mut prefixes: Vec<Vec<u32>> = vec![vec![]; batch.ids.len()];
        for write in &batch.writes {
            for (at, row) in (write.row..write.row + write.count).enumerate() {
                if prefixes[row].is_empty() {
                    let span = batch.spans.iter().find(|span| span.rows.contains(&row)).unwrap();
                    let position = batch.positions[row] as usize;
                    prefixes[row] = match position {
                        0 => vec![],
                        _ => match self.pages[&span.pages[(position - 1) / PAGE]][(position - 1) % PAGE].clone() {
                            Some(prefix) => prefix,
                            None => prefixes[row - 1].clone(),
                        },
                    };
                    prefixes[row].push(batch.ids[row]);
                    assert_eq!(prefixes[row].len(), position + 1);
                }
                assert_eq!(batch.positions[row] as usize % PAGE, write.slot + at);
                let slot = &mut self.pages.get_mut(&write.page).unwrap()[write.slot + at];
                *slot = Some(prefixes[row].clone());
            }
        }
    }
}

fn output(prefix: &[u32]) -> Arc<Vec<f32>> {
    let hash = prefix
        .iter()
        .fold(17u32, |hash, id| hash.wrapping_mul(31).wrapping_add(*id));
    Arc::new(vec![(hash % 1_000_003) as f32])
}

struct Cache {
    prefixes: Prefixes,
    store: Store,
}

impl Cache {
    fn new(pages: usize, shared: bool) -> Self {
        Self {
            prefixes: Prefixes::new(pages * PAGE_BYTES, PAGE_BYTES, shared, Kept::Outputs).unwrap(),
            store: Store::default(),
        }
    }

    /// One batch of the sequences, `most` rows each. `fails`: it is planned and given up. Returns its rows.
    fn step(&mut self, sequences: &mut [&mut Sequence], most: usize, fails: bool) -> usize {
        self.prefixes.begin();
        let mut batch = Batch::default();
        for sequence in sequences.iter_mut() {
            if !sequence.is_done() {
                self.prefixes.plan(sequence, most, &mut batch).unwrap();
            }
        }
        self.store.change(&self.prefixes.changes());
        if fails {
            return 0;
        }
        let outputs = self.store.run(&batch);
        self.prefixes.commit(&outputs);
        for sequence in sequences.iter_mut() {
            self.prefixes.collect(sequence, &outputs);
        }
        batch.ids.len()
    }

    /// For texts that grow: large outputs are not kept.
    fn of_texts(pages: usize, shared: bool) -> Self {
        Self {
            prefixes: Prefixes::new(pages * PAGE_BYTES, PAGE_BYTES, shared, Kept::Nothing).unwrap(),
            store: Store::default(),
        }
    }

    fn finish(&mut self, sequences: &mut [Sequence], most: usize) {
        let mut rounds = 0;
        while sequences.iter().any(|sequence| !sequence.is_done()) {
            let mut waiting: Vec<_> = sequences.iter_mut().filter(|one| !one.is_done()).collect();
            self.step(&mut waiting, most, false);
            rounds += 1;
            assert!(rounds < 10_000, "no progress");
        }
    }
}

fn ids(text: &str) -> Vec<u32> {
    text.bytes().map(u32::from).collect()
}

fn expected(ids: &[u32], reads: &[usize]) -> Vec<Arc<Vec<f32>>> {
    reads.iter().map(|&read| output(&ids[..=read])).collect()
}

#[test]
fn candidates_of_one_problem_compute_it_once_even_in_one_batch() {
    let mut cache = Cache::new(100, true);
    let prompt = "p".repeat(45);
    let texts = ["one answer", "one other answer", "two"].map(|end| ids(&format!("{prompt}{end}")));
    let mut sequences = texts.clone().map(|ids| {
        let last = ids.len() - 1;
        Sequence::new(ids, vec![44, last])
    });
    let rows = cache.step(&mut sequences.each_mut(), 1000, false);
    assert_eq!(rows, 45 + "one answer".len() + "other answer".len() + "two".len());
    for (sequence, ids) in sequences.iter().zip(&texts) {
        assert_eq!(sequence.outputs(), Some(expected(ids, &[44, ids.len() - 1])));
    }
    let counters = cache.prefixes.counters();
    assert_eq!((counters.computed, counters.recomputed), (rows as u64, 0));
    let all: usize = texts.iter().map(Vec::len).sum();
    assert_eq!(counters.hits, (all - rows) as u64);
}

#[test]
fn an_appended_step_costs_its_own_tokens_and_nothing_behind_the_last_read() {
    let mut cache = Cache::new(100, true);
    let whole = ids(&"abcdefghij".repeat(20));
    for steps in 1..=20 {
        let reads: Vec<usize> = (1..=steps).map(|step| 10 * step - 1).collect();
        let mut padded = whole[..10 * steps].to_vec();
        padded.extend([1000, 1001]);
        let mut sequence = Sequence::new(padded, reads.clone());
        assert_eq!(cache.step(&mut [&mut sequence], 1000, false), 10);
        assert_eq!(sequence.outputs(), Some(expected(&whole, &reads)));
    }
    let mut again = Sequence::new(whole.clone(), vec![199]);
    assert_eq!(cache.step(&mut [&mut again], 1000, false), 0);
    assert_eq!(again.outputs(), Some(expected(&whole, &[199])));
}

#[test]
fn a_read_where_none_was_is_one_row_again() {
    let mut cache = Cache::new(100, true);
    let ids = ids(&"abc".repeat(30));
    cache.finish(&mut [Sequence::new(ids.clone(), vec![89])], 1000);
    let mut sequence = Sequence::new(ids.clone(), vec![40, 89]);
    assert_eq!(cache.step(&mut [&mut sequence], 1000, false), 1);
    assert_eq!(sequence.outputs(), Some(expected(&ids, &[40, 89])));
    assert_eq!(cache.prefixes.counters().recomputed, 1);
}

#[test]
fn what_was_read_outlives_its_pages() {
    let mut cache = Cache::new(4, true);
    let (one, two) = (ids(&"a".repeat(128)), ids(&"b".repeat(128)));
    for ids in [&one, &two] {
        cache.finish(&mut [Sequence::new(ids.clone(), vec![60, 127])], 1000);
    }
    let mut again = Sequence::new(one.clone(), vec![60, 127]);
    assert_eq!(cache.step(&mut [&mut again], 1000, false), 0);
    let mut longer = one.clone();
    longer.truncate(100);
    longer.push(7);
    let mut other = Sequence::new(longer.clone(), vec![100]);
    assert_eq!(cache.step(&mut [&mut other], 1000, false), 101);
    assert_eq!(other.outputs(), Some(expected(&longer, &[100])));
    assert_eq!(cache.prefixes.counters().recomputed, 100);
}

#[test]
fn a_budget_without_a_page_and_a_sequence_above_the_budget_are_refused() {
    let error = Prefixes::new(PAGE_BYTES - 1, PAGE_BYTES, true, Kept::Outputs)
        .err()
        .unwrap();
    assert_eq!(error.code(), "ERR_INVALID_ARGUMENT");
    let mut cache = Cache::new(2, true);
    cache.prefixes.begin();
    let mut long = Sequence::new(vec![1; 65], vec![64]);
    let error = cache.prefixes.plan(&mut long, 10, &mut Batch::default()).unwrap_err();
    assert_eq!(error.code(), "ERR_CACHE_BUDGET");
    // What the error asks for is enough, and one byte less is not.
    let needed = error.data()["needed"].as_u64().unwrap() as usize;
    for (budget, fits) in [(needed, true), (needed - 1, false)] {
        let mut prefixes = Prefixes::new(budget, PAGE_BYTES, true, Kept::Outputs).unwrap();
        prefixes.begin();
        assert_eq!(prefixes.plan(&mut long, 10, &mut Batch::default()).is_ok(), fits);
    }
}

/// Found by the property below: they took pages from each other for ever, and one that was done held them up.
#[test]
fn sequences_that_need_all_the_memory_finish_one_after_the_other() {
    let mut cache = Cache::new(8, true);
    let prompt = ids(&"p".repeat(91));
    let text = |mark: &str, length: usize| [prompt.clone(), ids(mark), ids(&"x".repeat(length))].concat();
    let texts = [text("a", 0), text("ab", 140), text("ac", 145), text("d", 150)];
    let mut sequences = texts.clone().map(|ids| {
        let last = ids.len() - 1;
        Sequence::new(ids, vec![last])
    });
    let mut rounds = 0;
    while !sequences.iter().all(Sequence::is_done) {
        cache.step(&mut sequences.each_mut(), 17, false);
        rounds += 1;
        assert!(rounds < 100, "no progress");
    }
    for (sequence, ids) in sequences.iter().zip(&texts) {
        assert_eq!(sequence.outputs(), Some(expected(ids, &[ids.len() - 1])));
    }
    let all: usize = texts.iter().map(Vec::len).sum();
    let counters = cache.prefixes.counters();
    assert!(
        counters.computed + counters.recomputed <= 2 * all as u64,
        "{counters:?}"
    );
}

#[test]
fn without_sharing_nothing_is_found_and_nothing_stays() {
    let mut cache = Cache::new(100, false);
    let ids = ids(&"abc".repeat(30));
    for _ in 0..3 {
        let mut sequence = Sequence::new(ids.clone(), vec![89]);
        assert_eq!(cache.step(&mut [&mut sequence], 50, false), 50);
        assert_eq!(cache.step(&mut [&mut sequence], 50, false), 40);
    }
    cache.prefixes.begin();
    assert_eq!(cache.prefixes.counters().hits, 0);
    cache.store.change(&cache.prefixes.changes());
    assert!(cache.store.pages.is_empty());
}

/// A text on its way: what it grows by, last first.
struct Growing {
    sequence: Sequence,
    rest: Vec<u32>,
}

impl Growing {
    fn new(before: &[u32], rest: &[u32]) -> Self {
        Self {
            sequence: Sequence::growing(before.to_vec()),
            rest: rest.iter().rev().copied().collect(),
        }
    }
}

/// One token more for each text that has its output; those that are complete go.
fn advance(texts: &mut Vec<Growing>) {
    texts.retain_mut(|text| {
        let Some(found) = text.sequence.output() else {
            return true;
        };
        assert_eq!(*found, output(text.sequence.ids()));
        let next = text.rest.pop();
        next.inspect(|&id| text.sequence.grow(id)).is_some()
    });
}

#[test]
fn texts_that_follow_one_prompt_read_it_once_and_then_cost_a_row_a_token() {
    let mut cache = Cache::of_texts(100, true);
    let prompt = ids(&"p".repeat(77));
    let rests: Vec<Vec<u32>> = (0..32).map(|text| vec![200 + text; 40]).collect();
    let mut texts: Vec<_> = rests.iter().map(|rest| Growing::new(&prompt, rest)).collect();
    for token in 0..=40 {
        let mut all: Vec<_> = texts.iter_mut().map(|text| &mut text.sequence).collect();
        let rows = cache.step(&mut all, 1000, false);
        assert_eq!(rows, if token == 0 { 77 } else { 32 });
        advance(&mut texts);
    }
    assert!(texts.is_empty());
    let counters = cache.prefixes.counters();
    assert_eq!((counters.computed, counters.recomputed), (77 + 32 * 40, 0));
    assert_eq!(counters.hits, 31 * 77);
    // Who asks later has one row computed again.
    let mut late = Sequence::growing(prompt.clone());
    assert_eq!(cache.step(&mut [&mut late], 1000, false), 1);
    assert_eq!(late.output(), Some(&output(&prompt)));
    assert_eq!(cache.prefixes.counters().recomputed, 1);
}

#[test]
fn a_text_that_waits_for_its_next_token_keeps_its_pages() {
    let mut cache = Cache::of_texts(6, true);
    let mut text = Sequence::growing(ids(&"t".repeat(90)));
    cache.step(&mut [&mut text], 1000, false);
    for round in 0..4 {
        // Four pages would be needed where three are free: it waits for the text, or leads in its turn.
        let mut other = Sequence::growing(vec![300 + round; 70]);
        cache.step(&mut [&mut other], 1000, false);
        assert_eq!(other.output(), Some(&output(other.ids())));
    }
    text.grow(7);
    assert_eq!(cache.step(&mut [&mut text], 1000, false), 1);
    assert_eq!(cache.prefixes.counters().recomputed, 0);
}

proptest! {
    /// Texts that grow side by side, some of them alike for a while, under budgets that hold one or many of them.
    #[test]
    fn texts_that_grow_see_their_prefixes_whatever_grows_beside_them(
        texts in proptest::collection::vec((0usize..100, proptest::collection::vec(0u32..2, 0..60)), 1..12),
        pages in 6usize..40,
        most in 1usize..80,
        shared in proptest::bool::weighted(0.9),
        failures in proptest::collection::vec(proptest::bool::weighted(0.1), 64),
        late in 0usize..12,
    ) {
        let mut cache = Cache::of_texts(pages, shared);
        let mut fails = failures.into_iter().cycle();
        let begin = |(prompt, rest): &(usize, Vec<u32>)| {
            let before: Vec<u32> = std::iter::once(9).chain((0..*prompt as u32).map(|at| at / 40)).collect();
            Growing::new(&before, rest)
        };
        let late = late.min(texts.len());
        let mut growing: Vec<_> = texts[late..].iter().map(begin).collect();
        let mut coming: Vec<_> = texts[..late].iter().map(begin).collect();
        let mut rounds = 0;
        while !growing.is_empty() || !coming.is_empty() {
            if rounds % 5 == 0 {
                growing.extend(coming.pop());
            }
            let mut all: Vec<_> = growing.iter_mut().map(|text| &mut text.sequence).collect();
            let fails = fails.next().unwrap();
            cache.step(&mut all, most, fails);
            if !fails {
                advance(&mut growing);
            }
            rounds += 1;
            prop_assert!(rounds < 20_000, "no progress");
            // A page whose part is taken in by another is given back with the next batch.
            let changes = cache.prefixes.changes();
            cache.store.change(&changes);
            prop_assert!(cache.store.most <= pages);
            let counters = cache.prefixes.counters();
            prop_assert_eq!(counters.bytes, PAGE_BYTES * cache.store.pages.len());
        }
    }

    /// Random texts over a small alphabet share prefixes of all lengths; random budgets evict; some batches fail.
    #[test]
    fn every_row_sees_its_prefix_and_every_read_is_right(
        texts in proptest::collection::vec((proptest::collection::vec(0u32..2, 1..150), 0usize..5), 1..24),
        prompt in 0usize..100,
        pages in 8usize..40,
        most in 1usize..80,
        together in 1usize..6,
        shared in proptest::bool::weighted(0.9),
        failures in proptest::collection::vec(proptest::bool::weighted(0.2), 64),
    ) {
        let mut cache = Cache::new(pages, shared);
        let mut fails = failures.into_iter().cycle();
        for group in texts.chunks(together) {
            let mut sequences: Vec<Sequence> = Vec::new();
            let mut wanted = Vec::new();
            for (tail, gap) in group {
                // Long runs of one token, so that texts part late.
                let ids: Vec<u32> = (0..prompt as u32).chain(tail.iter().map(|bit| u32::from(*bit == 1))).collect();
                let reads: Vec<usize> = (0..ids.len()).filter(|at| (at + gap) % 7 == 0 || at + 1 == ids.len()).collect();
                wanted.push(expected(&ids, &reads));
                sequences.push(Sequence::new(ids, reads));
            }
            let mut all: Vec<_> = sequences.iter_mut().collect();
            cache.step(&mut all, most, fails.next().unwrap());
            // One is cancelled and never heard of again.
            if fails.next().unwrap() && sequences.len() > 1 {
                sequences.pop();
                wanted.pop();
            }
            cache.finish(&mut sequences, most);
            for (sequence, wanted) in sequences.iter().zip(wanted) {
                prop_assert_eq!(sequence.outputs(), Some(wanted));
            }
            prop_assert!(cache.store.most <= pages);
            let counters = cache.prefixes.counters();
            prop_assert!(counters.peak_bytes <= counters.budget);
            prop_assert_eq!(counters.bytes, PAGE_BYTES * cache.store.pages.len());
        }
    }
}
