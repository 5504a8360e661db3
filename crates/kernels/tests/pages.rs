//! Pages: what they keep, what they refuse.

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};

use common::{Crew, Random, isas};
use surefoot_kernels::{Format, Isa, PAGE, PageShape, Pages, Serial, Span, Threads, Write, attend};

const SHAPE: PageShape = PageShape {
    layers: 2,
    heads: 2,
    dim: 8,
};

/// The values of the first `count` tokens of a page in one layer: a row whose query is 0 sees their mean.
fn means(isa: Isa, pages: &Pages, layer: usize, page: u32, count: usize) -> Vec<f32> {
    let mut y = vec![f32::NAN; 16];
    let positions = [count as u32 - 1];
    let span = Span {
        first: 0,
        positions: &positions,
        pages: &[page],
    };
    attend(isa, &Serial, &[0.0; 16], 2, pages, layer, None, &[span], &mut y);
    y
}

/// The value of one token: a window of one sees it alone.
fn value(isa: Isa, pages: &Pages, layer: usize, page: u32, slot: usize) -> Vec<f32> {
    let mut y = vec![f32::NAN; 16];
    let positions = [slot as u32];
    let span = Span {
        first: 0,
        positions: &positions,
        pages: &[page],
    };
    attend(isa, &Serial, &[0.0; 16], 2, pages, layer, Some(1), &[span], &mut y);
    y
}

fn write(isa: Isa, threads: &dyn Threads, pages: &mut Pages, layer: usize, rows: &[f32], writes: &[Write]) {
    pages.write(isa, threads, layer, rows, rows, writes);
}

fn refused(what: &str, call: impl FnOnce()) {
    assert!(catch_unwind(AssertUnwindSafe(call)).is_err(), "{what} is not refused");
}

#[test]
fn rows_go_to_the_slots_and_pages_they_are_written_to() {
    for isa in isas() {
        let rows = Random(1).numbers(3 * 16);
        let mut pages = Pages::new(SHAPE, Format::F32);
        (0..3).for_each(|page| pages.allocate(page));
        let writes = [
            Write {
                row: 0,
                count: 3,
                page: 0,
                slot: 4,
            },
            // The same row to several places, and over one of its neighbours.
            Write {
                row: 1,
                count: 1,
                page: 2,
                slot: 31,
            },
            Write {
                row: 1,
                count: 2,
                page: 2,
                slot: 0,
            },
            Write {
                row: 0,
                count: 1,
                page: 0,
                slot: 5,
            },
            Write {
                row: 3,
                count: 0,
                page: 1,
                slot: 32,
            },
        ];
        write(isa, &Crew::new(2), &mut pages, 1, &rows, &writes);
        let row = |row: usize| rows[row * 16..(row + 1) * 16].to_vec();
        for (page, slot, expected) in [(0, 4, 0), (0, 5, 0), (0, 6, 2), (2, 31, 1), (2, 0, 1), (2, 1, 2)] {
            assert_eq!(
                value(isa, &pages, 1, page, slot),
                row(expected),
                "{isa:?}, page {page}, slot {slot}"
            );
        }
        for (layer, page, slot) in [(0, 0, 4), (1, 1, 31), (1, 0, 7), (1, 0, 3), (0, 2, 0)] {
            assert_eq!(
                value(isa, &pages, layer, page, slot),
                [0.0; 16],
                "{isa:?}, page {page}, slot {slot}"
            );
        }
    }
}

#[test]
fn a_copy_takes_the_first_slots_of_all_layers_and_no_more() {
    for isa in isas() {
        for format in [Format::F32, Format::Bf16] {
            let mut pages = Pages::new(SHAPE, format);
            (0..2).for_each(|page| pages.allocate(page));
            let all = |page| {
                [Write {
                    row: 0,
                    count: PAGE,
                    page,
                    slot: 0,
                }]
            };
            for layer in 0..2 {
                write(
                    isa,
                    &Serial,
                    &mut pages,
                    layer,
                    &[1.0 + layer as f32; PAGE * 16],
                    &all(0),
                );
                write(isa, &Serial, &mut pages, layer, &[-3.0; PAGE * 16], &all(1));
            }
            pages.copy(0, 1, 5);
            for layer in 0..2 {
                assert_eq!(means(isa, &pages, layer, 1, 5), [1.0 + layer as f32; 16]);
                assert_eq!(value(isa, &pages, layer, 1, 5), [-3.0; 16]);
                assert_eq!(means(isa, &pages, layer, 0, PAGE), [1.0 + layer as f32; 16]);
            }
        }
    }
}

#[test]
fn bf16_is_rounded_to_the_nearest_and_ties_to_even() {
    let numbers = [
        (1.0, 1.0),
        (1.0 + 1.0 / 256.0, 1.0),
        (1.0 + 3.0 / 256.0, 1.0 + 4.0 / 256.0),
        (1.0 + 1.001 / 256.0, 1.0 + 2.0 / 256.0),
        (-1.0 - 0.999 / 256.0, -1.0),
        (f32::MAX, f32::INFINITY),
        (-1e-40, f32::from_bits(0x8001_0000)),
        (1e-41, 0.0),
    ];
    for isa in isas() {
        let mut pages = Pages::new(SHAPE, Format::Bf16);
        pages.allocate(0);
        let rows: Vec<f32> = numbers.iter().chain(&numbers).map(|number| number.0).collect();
        let keys = [0.0; 16];
        pages.write(
            isa,
            &Serial,
            0,
            &keys,
            &rows,
            &[Write {
                row: 0,
                count: 1,
                page: 0,
                slot: 0,
            }],
        );
        let y = value(isa, &pages, 0, 0, 0);
        assert_eq!(y[..8], numbers.map(|number| number.1), "{isa:?}");

        let nans = [
            f32::from_bits(0x7f80_0001),
            f32::from_bits(0xffff_ffff),
            f32::NAN,
            f32::from_bits(0x7fff_8000),
        ];
        let rows: Vec<f32> = nans.into_iter().cycle().take(16).collect();
        pages.write(
            isa,
            &Serial,
            0,
            &keys,
            &rows,
            &[Write {
                row: 0,
                count: 1,
                page: 0,
                slot: 0,
            }],
        );
        assert!(value(isa, &pages, 0, 0, 0).iter().all(|y| y.is_nan()), "{isa:?}");
    }
}

#[test]
fn a_page_that_is_allocated_again_is_zero() {
    for format in [Format::F32, Format::Bf16] {
        let mut pages = Pages::new(SHAPE, format);
        for page in [7, 0] {
            pages.allocate(page);
            let all = [Write {
                row: 0,
                count: PAGE,
                page,
                slot: 0,
            }];
            (0..2).for_each(|layer| write(Isa::Scalar, &Serial, &mut pages, layer, &[f32::NAN; PAGE * 16], &all));
            assert!(means(Isa::Scalar, &pages, 1, page, PAGE).iter().all(|y| y.is_nan()));
            pages.free(page);
        }
        assert_eq!(pages.allocated(), 0);
        (1..4).for_each(|page| pages.allocate(page));
        pages.trim();
        assert_eq!(pages.allocated(), 3);
        for page in 1..4 {
            for layer in 0..2 {
                assert_eq!(means(Isa::Scalar, &pages, layer, page, PAGE), [0.0; 16]);
            }
        }
    }
}

#[test]
fn a_page_has_the_bytes_of_its_keys_and_values() {
    let bytes = |dim, format| {
        Pages::new(
            PageShape {
                layers: 24,
                heads: 2,
                dim,
            },
            format,
        )
        .bytes_per_page()
    };
    for dim in [64, 80, 96, 128] {
        assert_eq!(bytes(dim, Format::F32), 24 * 2 * PAGE * 2 * dim * 4);
        assert_eq!(bytes(dim, Format::Bf16), 24 * 2 * PAGE * 2 * dim * 2);
    }
    // Rows of values are filled up to sixteen numbers.
    assert_eq!(bytes(6, Format::F32), 24 * 2 * PAGE * (6 + 16) * 4);
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut pages = Pages::new(SHAPE, Format::F32);
    pages.allocate(1);
    refused("a page allocated twice", || pages.allocate(1));
    refused("a page freed that is not there", || pages.free(0));
    refused("a copy of a page that is not there", || pages.copy(0, 1, 1));
    assert_eq!(pages.allocated(), 1);

    let mut pages = Pages::new(SHAPE, Format::F32);
    (0..2).for_each(|page| pages.allocate(page));
    refused("a copy to itself", || pages.copy(0, 0, 1));
    refused("a copy of more than a page", || pages.copy(0, 1, 33));
    let x = [0.0; 32];
    let good = Write {
        row: 0,
        count: 2,
        page: 0,
        slot: 30,
    };
    write(Isa::Scalar, &Serial, &mut pages, 0, &x, &[good]);
    for bad in [
        Write { row: 1, ..good },
        Write { slot: 31, ..good },
        Write { page: 2, ..good },
        Write {
            row: usize::MAX,
            ..good
        },
        Write {
            slot: usize::MAX,
            ..good
        },
    ] {
        refused("a write beyond what is there", || {
            write(Isa::Scalar, &Serial, &mut pages, 0, &x, &[bad])
        });
    }
    refused("a layer that is not there", || {
        write(Isa::Scalar, &Serial, &mut pages, 2, &x, &[good])
    });
    refused("values that are fewer than keys", || {
        pages.write(Isa::Scalar, &Serial, 0, &x, &x[..16], &[]);
    });

    let (one, two, far) = ([0], [0, 1], [32]);
    let span = Span {
        first: 0,
        positions: &one,
        pages: &[0],
    };
    let attend = |q: &[f32], heads, layer, window, spans: &[Span<'_>]| {
        attend(
            Isa::Scalar,
            &Serial,
            q,
            heads,
            &pages,
            layer,
            window,
            spans,
            &mut vec![0.0; q.len()],
        );
    };
    attend(&x, 2, 0, None, &[span]);
    refused("a span beyond the rows", || {
        attend(&x, 2, 0, None, &[Span { first: 2, ..span }])
    });
    refused("a row of two spans", || {
        attend(
            &x,
            2,
            0,
            None,
            &[
                Span {
                    positions: &two,
                    ..span
                },
                Span { first: 1, ..span },
            ],
        );
    });
    refused("a position beyond the pages", || {
        attend(
            &x,
            2,
            0,
            None,
            &[Span {
                positions: &far,
                ..span
            }],
        )
    });
    refused("a page that is not allocated", || {
        attend(&x, 2, 0, None, &[Span { pages: &[9], ..span }])
    });
    // Where no row looks, there need be no page.
    attend(
        &x,
        2,
        0,
        Some(1),
        &[Span {
            positions: &far,
            pages: &[9, 1],
            ..span
        }],
    );
    refused("a window of nothing", || attend(&x, 2, 0, Some(0), &[span]));
    refused("heads that do not share evenly", || {
        attend(&[0.0; 24], 3, 0, None, &[span])
    });
    refused("a layer that is not there", || attend(&x, 2, 2, None, &[span]));
    for isa in Isa::ALL.into_iter().filter(|isa| !isa.is_available()) {
        refused("an instruction set that is not there", || {
            surefoot_kernels::attend(isa, &Serial, &x, 2, &pages, 0, None, &[span], &mut [0.0; 32]);
        });
    }
}
