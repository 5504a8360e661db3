//! Attention over pages beside plain sums in f64, and beside itself cut in other ways.

mod common;

use common::{Crew, Random, isas};
use proptest::prelude::*;
use surefoot_kernels::{Format, Isa, PAGE, PageShape, Pages, Serial, Span, Threads, Write, attend};

/// A model's heads, and sequences whose tokens have keys and values.
#[derive(Clone, Copy, Debug)]
struct Setup {
    isa: Isa,
    format: Format,
    key_heads: usize,
    group: usize,
    dim: usize,
    window: Option<usize>,
}

impl Setup {
    fn heads(&self) -> usize {
        self.key_heads * self.group
    }

    /// Numbers of a query row.
    fn wide(&self) -> usize {
        self.heads() * self.dim
    }

    /// Numbers of a key row.
    fn width(&self) -> usize {
        self.key_heads * self.dim
    }

    fn pages(&self) -> Pages {
        Pages::new(
            PageShape {
                layers: 2,
                heads: self.key_heads,
                dim: self.dim,
            },
            self.format,
        )
    }

    /// What a page keeps of x.
    fn kept(&self, x: f32) -> f64 {
        f64::from(match self.format {
            Format::F32 => x,
            Format::Bf16 => {
                // By the distance to both neighbours, ties to the one with an even last bit.
                let below = f32::from_bits(x.to_bits() & 0xffff_0000);
                let above = f32::from_bits((x.to_bits() & 0xffff_0000) + 0x1_0000);
                let (down, up) = ((x - below).abs(), (above - x).abs());
                let even = below.to_bits() & 0x1_0000 == 0;
                if down < up || down == up && even { below } else { above }
            }
        })
    }
}

/// Queries, keys and values of one sequence, one row for each token.
#[derive(Clone)]
struct Sequence {
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
}

impl Sequence {
    fn new(setup: &Setup, length: usize, random: &mut Random) -> Self {
        Self {
            q: random.numbers(length * setup.wide()),
            k: random.numbers(length * setup.width()),
            v: random.numbers(length * setup.width()),
        }
    }

    fn length(&self, setup: &Setup) -> usize {
        self.k.len() / setup.width()
    }

    /// The plain sums, in f64.
    fn expected(&self, setup: &Setup) -> Vec<f64> {
        let &Setup { group, dim, .. } = setup;
        let (wide, width) = (setup.wide(), setup.width());
        let (k, v) = [&self.k, &self.v]
            .map(|x| x.iter().map(|&x| setup.kept(x)).collect::<Vec<_>>())
            .into();
        let mut y = vec![0.0; self.q.len()];
        for row in 0..self.length(setup) {
            let first = setup.window.map_or(0, |window| (row + 1).saturating_sub(window));
            for head in 0..setup.heads() {
                let at = row * wide + head * dim;
                let key = |token: usize| token * width + head / group * dim;
                let score = |token: usize| -> f64 {
                    let products = (0..dim).map(|i| f64::from(self.q[at + i]) * k[key(token) + i]);
                    products.sum::<f64>() / (dim as f64).sqrt()
                };
                let scores: Vec<f64> = (first..=row).map(score).collect();
                let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let weights: Vec<f64> = scores.iter().map(|score| (score - most).exp()).collect();
                let total: f64 = weights.iter().sum();
                for i in 0..dim {
                    let sum: f64 = weights
                        .iter()
                        .zip(first..)
                        .map(|(weight, token)| weight * v[key(token) + i])
                        .sum();
                    y[at + i] = sum / total;
                }
            }
        }
        y
    }

    /// Writes the tokens from `first` on, in writes of up to `most` rows.
    fn write(&self, setup: &Setup, pages: &mut Pages, table: &[u32], first: usize, most: usize) {
        let length = self.length(setup);
        let mut writes = Vec::new();
        let mut row = first;
        while row < length {
            let count = most.min(PAGE - row % PAGE).min(length - row);
            writes.push(Write {
                row,
                count,
                page: table[row / PAGE],
                slot: row % PAGE,
            });
            row += count;
        }
        pages.write(setup.isa, &Serial, 1, &self.k, &self.v, &writes);
    }
}

/// Allocates a page full of NaN.
fn spoilt(setup: &Setup, pages: &mut Pages, page: u32) {
    pages.allocate(page);
    let nan = vec![f32::NAN; PAGE * setup.width()];
    for layer in 0..2 {
        let write = Write {
            row: 0,
            count: PAGE,
            page,
            slot: 0,
        };
        pages.write(setup.isa, &Serial, layer, &nan, &nan, &[write]);
    }
}

/// Pages with the sequences in them, each with its own table, and NaN wherever no token is.
fn filled(setup: &Setup, sequences: &[Sequence], random: &mut Random) -> (Pages, Vec<Vec<u32>>) {
    let mut pages = setup.pages();
    let mut free: Vec<u32> = (0..200).collect();
    let mut tables = Vec::new();
    for sequence in sequences {
        let count = sequence.length(setup).div_ceil(PAGE);
        let table: Vec<u32> = (0..count).map(|_| free.swap_remove(random.below(free.len()))).collect();
        table.iter().for_each(|&page| spoilt(setup, &mut pages, page));
        sequence.write(setup, &mut pages, &table, 0, 1 + random.below(PAGE));
        tables.push(table);
    }
    (pages, tables)
}

/// One call for the rows `rows` of each sequence.
fn call(
    setup: &Setup,
    threads: &dyn Threads,
    pages: &Pages,
    parts: &[(&Sequence, &[u32], std::ops::Range<usize>)],
) -> Vec<Vec<f32>> {
    let wide = setup.wide();
    let positions: Vec<Vec<u32>> = parts
        .iter()
        .map(|(_, _, rows)| rows.clone().map(|row| row as u32).collect())
        .collect();
    let mut q = Vec::new();
    let mut spans = Vec::new();
    for ((sequence, table, rows), positions) in parts.iter().zip(&positions) {
        spans.push(Span {
            first: q.len() / wide,
            positions,
            pages: table,
        });
        q.extend_from_slice(&sequence.q[rows.start * wide..rows.end * wide]);
    }
    let mut y = vec![f32::NAN; q.len()];
    attend(
        setup.isa,
        threads,
        &q,
        setup.heads(),
        pages,
        1,
        setup.window,
        &spans,
        &mut y,
    );
    let mut rest = y.as_slice();
    parts
        .iter()
        .map(|(_, _, rows)| rest.split_off(..rows.len() * wide).unwrap_or_default().to_vec())
        .collect()
}

/// One sequence in one span.
fn whole(setup: &Setup, threads: &dyn Threads, pages: &Pages, sequence: &Sequence, table: &[u32]) -> Vec<f32> {
    call(setup, threads, pages, &[(sequence, table, 0..sequence.length(setup))]).remove(0)
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

fn near(setup: &Setup, y: &[f32], expected: &[f64], bound: f64) {
    assert_eq!(y.len(), expected.len());
    for (i, (&y, &expected)) in y.iter().zip(expected).enumerate() {
        let row = i / setup.wide();
        assert!(
            (f64::from(y) - expected).abs() <= bound,
            "{setup:?}, row {row}: {y} for {expected}"
        );
    }
}

const GROUPS: [usize; 5] = [1, 2, 3, 6, 7];
const DIMS: [usize; 7] = [2, 6, 8, 64, 80, 96, 128];
const LENGTHS: [usize; 9] = [0, 1, 2, 31, 32, 33, 61, 97, 300];
const WINDOWS: [Option<usize>; 5] = [None, Some(1), Some(5), Some(32), Some(33)];

fn setups() -> impl Strategy<Value = Setup> {
    use prop::sample::select;
    let format = select(vec![Format::F32, Format::Bf16]);
    let shape = (1..4_usize, select(&GROUPS[..]), select(&DIMS[..]), select(&WINDOWS[..]));
    (select(isas()), format, shape).prop_map(|(isa, format, (key_heads, group, dim, window))| Setup {
        isa,
        format,
        key_heads,
        group,
        dim,
        window,
    })
}

#[test]
fn every_group_dim_length_and_window_is_near_the_plain_sums() {
    let mut random = Random(1);
    for isa in isas() {
        let shapes = GROUPS.into_iter().flat_map(|group| DIMS.map(|dim| (group, dim)));
        for (i, (group, dim)) in shapes.enumerate() {
            for (j, window) in WINDOWS.into_iter().enumerate() {
                let format = if (i + j) % 2 == 0 { Format::F32 } else { Format::Bf16 };
                let setup = Setup {
                    isa,
                    format,
                    key_heads: 1 + (i + j) % 2,
                    group,
                    dim,
                    window,
                };
                // Over all shapes and windows, each length comes up with each window several times.
                for length in [
                    LENGTHS[(i + j) % 8],
                    if i % 7 == j { 300 } else { LENGTHS[(i + j + 3) % 8] },
                ] {
                    let sequence = Sequence::new(&setup, length, &mut random);
                    let (pages, tables) = filled(&setup, std::slice::from_ref(&sequence), &mut random);
                    let y = whole(&setup, &Serial, &pages, &sequence, &tables[0]);
                    near(&setup, &y, &sequence.expected(&setup), 4e-6);
                }
            }
        }
    }
}

#[test]
fn sharp_and_far_scores_are_near_the_plain_sums() {
    let mut random = Random(2);
    for isa in isas() {
        let setup = Setup {
            isa,
            format: Format::F32,
            key_heads: 2,
            group: 3,
            dim: 64,
            window: None,
        };
        // Scores that differ by some 200, so that most weights are 0 and the largest one changes often; around 0, and so
        // far below and above that e to their power is no f32.
        for far in [0.0, -400.0, 400.0] {
            let mut sequence = Sequence::new(&setup, 150, &mut random);
            sequence.q.iter_mut().for_each(|x| *x *= 60.0);
            sequence.q.iter_mut().step_by(64).for_each(|x| *x = far);
            sequence.k.iter_mut().step_by(64).for_each(|x| *x = 10.0);
            let (pages, tables) = filled(&setup, std::slice::from_ref(&sequence), &mut random);
            let y = whole(&setup, &Serial, &pages, &sequence, &tables[0]);
            near(
                &setup,
                &y,
                &sequence.expected(&setup),
                if far == 0.0 { 2e-4 } else { 1e-3 },
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_row_does_not_depend_on_how_rows_are_cut_or_who_is_there(setup in setups(), length in 1..140_usize, seed: u64) {
        let mut random = Random(seed);
        let sequences = [length, 1 + random.below(70), 1 + random.below(70)].map(|length| {
            Sequence::new(&setup, length, &mut random)
        });
        let (mut pages, tables) = filled(&setup, &sequences, &mut random);
        let (sequence, table) = (&sequences[0], tables[0].as_slice());
        let y = whole(&setup, &Serial, &pages, sequence, table);
        let wide = setup.wide();

        for most in [1, 50] {
            let mut row = 0;
            while row < length {
                let end = (row + 1 + random.below(most)).min(length);
                // Before, between and behind rows of others.
                let others = [1, 2].map(|i| (&sequences[i], tables[i].as_slice(), 0..sequences[i].length(&setup)));
                let mut parts = others.to_vec();
                parts.insert(random.below(3), (sequence, table, row..end));
                let at = parts.iter().position(|part| std::ptr::eq(part.0, sequence)).unwrap_or_default();
                let part = call(&setup, &Crew::new(1 + random.below(3)), &pages, &parts).remove(at);
                prop_assert_eq!(bits(&part), bits(&y[row * wide..end * wide]));
                row = end;
            }
        }
        prop_assert_eq!(bits(&whole(&setup, &Crew::new(3), &pages, sequence, table)), bits(&y));

        // The same tokens under other page numbers, the last page by a copy of its first slots.
        let moved: Vec<u32> = (0..table.len() as u32).map(|i| 300 + i).collect();
        for (i, (&from, &to)) in table.iter().zip(&moved).enumerate() {
            spoilt(&setup, &mut pages, to);
            pages.copy(from, to, PAGE.min(length - i * PAGE));
        }
        table.iter().for_each(|&page| pages.free(page));
        prop_assert_eq!(bits(&whole(&setup, &Serial, &pages, sequence, &moved)), bits(&y));
    }

    #[test]
    fn branches_behind_a_shared_prefix_equal_their_sequences(setup in setups(), shared in 1..100_usize, seed: u64) {
        let mut random = Random(seed);
        let prefix = Sequence::new(&setup, shared, &mut random);
        let branches: Vec<Sequence> = (0..5).map(|_| {
            let (mut branch, length) = (prefix.clone(), 1 + random.below(40));
            let own = Sequence::new(&setup, length, &mut random);
            branch.q.extend(&own.q);
            branch.k.extend(&own.k);
            branch.v.extend(&own.v);
            branch
        }).collect();
        let (pages, tables) = filled(&setup, &branches, &mut random);
        let alone: Vec<Vec<f32>> =
            branches.iter().zip(&tables).map(|(branch, table)| whole(&setup, &Serial, &pages, branch, table)).collect();

        // Whole pages of the prefix once; its tail written to the first branch and copied to the others.
        let mut pages = setup.pages();
        let full = shared / PAGE;
        let mut tables: Vec<Vec<u32>> = Vec::new();
        let mut next = full as u32;
        (0..next).for_each(|page| spoilt(&setup, &mut pages, page));
        for (i, branch) in branches.iter().enumerate() {
            let mut table: Vec<u32> = (0..full as u32).collect();
            while table.len() * PAGE < branch.length(&setup) {
                spoilt(&setup, &mut pages, next);
                table.push(next);
                next += 1;
            }
            if i == 0 {
                branch.write(&setup, &mut pages, &table, 0, PAGE);
            } else {
                pages.copy(tables[0][full], table[full], shared % PAGE);
                branch.write(&setup, &mut pages, &table, shared, PAGE);
            }
            tables.push(table);
        }
        let parts: Vec<_> = branches
            .iter()
            .zip(&tables)
            .map(|(branch, table)| (branch, table.as_slice(), shared..branch.length(&setup)))
            .collect();
        for (part, alone) in call(&setup, &Crew::new(2), &pages, &parts).iter().zip(&alone) {
            prop_assert_eq!(bits(part), bits(&alone[shared * setup.wide()..]));
        }
    }

    #[test]
    fn not_a_number_stays_with_those_who_see_it(setup in setups(), length in 1..100_usize, seed: u64) {
        let mut random = Random(seed);
        let clean = Sequence::new(&setup, length, &mut random);
        let token = random.below(length);
        let head = random.below(setup.key_heads);
        let spoil = |x: &mut Vec<f32>, row: usize, at: usize| x[row + at] = f32::NAN;
        let of = |sequence: &Sequence| {
            let (pages, tables) = filled(&setup, std::slice::from_ref(sequence), &mut Random(seed));
            whole(&setup, &Serial, &pages, sequence, &tables[0])
        };
        let (wide, at) = (setup.wide(), head * setup.dim + random.below(setup.dim));
        let y = of(&clean);
        let seen = |row: usize| row >= token && setup.window.is_none_or(|window| row - token < window);

        for what in 0..3 {
            let mut spoilt = clean.clone();
            match what {
                0 => spoil(&mut spoilt.q, token * wide, at),
                1 => spoil(&mut spoilt.k, token * setup.width(), at),
                _ => spoil(&mut spoilt.v, token * setup.width(), at),
            }
            let group = setup.group;
            for (i, (&got, &y)) in of(&spoilt).iter().zip(&y).enumerate() {
                let (row, query, column) = (i / wide, i % wide / setup.dim, i % setup.dim);
                let nan = match what {
                    0 => row == token && query == head,
                    1 => seen(row) && query / group == head,
                    _ => seen(row) && query / group == head && column == at % setup.dim,
                };
                prop_assert_eq!(got.is_nan(), nan, "row {}, head {}, column {}", row, query, column);
                prop_assert!(nan || got.to_bits() == y.to_bits());
            }
        }
    }
}

#[test]
fn positions_may_be_read_again_and_need_not_follow_one_another() {
    let mut random = Random(4);
    for isa in isas() {
        for window in WINDOWS {
            let setup = Setup {
                isa,
                format: Format::F32,
                key_heads: 2,
                group: 2,
                dim: 8,
                window,
            };
            let sequence = Sequence::new(&setup, 100, &mut random);
            let (pages, tables) = filled(&setup, std::slice::from_ref(&sequence), &mut random);
            let y = whole(&setup, &Serial, &pages, &sequence, &tables[0]);
            let positions = [0, 3, 4, 31, 32, 63, 64, 70, 99];
            let wide = setup.wide();
            let rows = positions.map(|p| p as usize * wide..(p as usize + 1) * wide);
            let q: Vec<f32> = rows.iter().flat_map(|row| &sequence.q[row.clone()]).copied().collect();
            let mut read = vec![0.0; q.len()];
            let span = Span {
                first: 0,
                positions: &positions,
                pages: &tables[0],
            };
            attend(isa, &Serial, &q, setup.heads(), &pages, 1, window, &[span], &mut read);
            for (row, read) in rows.into_iter().zip(read.chunks_exact(wide)) {
                assert_eq!(bits(&y[row]), bits(read), "{setup:?}");
            }
        }
    }
}

#[test]
fn tokens_with_a_score_of_minus_infinity_weigh_nothing() {
    for isa in isas() {
        let setup = Setup {
            isa,
            format: Format::F32,
            key_heads: 1,
            group: 1,
            dim: 2,
            window: None,
        };
        let mut random = Random(5);
        let mut sequence = Sequence::new(&setup, 80, &mut random);
        // The first page and some later tokens are out of reach of the last row.
        let out = |token: usize| token < 40 || token == 70;
        for token in 0..80 {
            sequence.k[2 * token..2 * token + 2].copy_from_slice(if out(token) { &[-1e30; 2] } else { &[1e-30; 2] });
        }
        sequence.q[158..].fill(1e30);
        let (pages, tables) = filled(&setup, std::slice::from_ref(&sequence), &mut random);
        let y = whole(&setup, &Serial, &pages, &sequence, &tables[0]);
        for i in 0..2 {
            let reached = (0..80).filter(|&token| !out(token));
            let mean = reached
                .clone()
                .map(|token| f64::from(sequence.v[2 * token + i]))
                .sum::<f64>()
                / 39.0;
            assert!(
                (f64::from(y[158 + i]) - mean).abs() < 1e-6,
                "{isa:?}: {} for {mean}",
                y[158 + i]
            );
        }
    }
}

#[test]
fn threads_change_nothing_where_they_share_the_work() {
    let mut random = Random(8);
    for isa in isas() {
        for (format, window) in [(Format::F32, None), (Format::Bf16, Some(100))] {
            let setup = Setup {
                isa,
                format,
                key_heads: 2,
                group: 7,
                dim: 64,
                window,
            };
            let sequence = Sequence::new(&setup, 300, &mut random);
            let (pages, tables) = filled(&setup, std::slice::from_ref(&sequence), &mut random);
            let alone = bits(&whole(&setup, &Serial, &pages, &sequence, &tables[0]));
            for count in [2, 3, 8] {
                let crew = Crew::new(count);
                assert_eq!(
                    bits(&whole(&setup, &crew, &pages, &sequence, &tables[0])),
                    alone,
                    "{setup:?}, {count}"
                );
                assert!(crew.tasks() > 1, "{} tasks", crew.tasks());
            }
        }
    }
}

#[test]
fn rows_of_no_span_stay_as_they_are() {
    for isa in isas() {
        let setup = Setup {
            isa,
            format: Format::F32,
            key_heads: 1,
            group: 2,
            dim: 6,
            window: None,
        };
        let sequence = Sequence::new(&setup, 3, &mut Random(6));
        let (pages, tables) = filled(&setup, std::slice::from_ref(&sequence), &mut Random(7));
        let mut y = vec![7.0; sequence.q.len()];
        let span = Span {
            first: 1,
            positions: &[1],
            pages: &tables[0],
        };
        attend(isa, &Serial, &sequence.q, 2, &pages, 1, None, &[span], &mut y);
        let touched: Vec<bool> = y.chunks_exact(12).map(|row| row.iter().any(|&y| y != 7.0)).collect();
        assert_eq!(touched, [false, true, false]);
        attend(isa, &Serial, &[], 2, &pages, 1, None, &[], &mut []);
    }
}
