//! Every aggregate against exact arithmetic (scripts/metrics/oracle.py).

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;
use surefoot_search::Aggregate;

#[derive(Deserialize)]
struct Fixture {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    scores: Vec<f32>,
    expected: HashMap<Aggregate, f64>,
}

#[test]
fn every_aggregate_is_that_of_exact_arithmetic() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/aggregates.json");
    let fixture: Fixture = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert!(fixture.cases.len() > 15);
    for Case { name, scores, expected } in fixture.cases {
        assert_eq!(expected.len(), 7, "{name}");
        for (by, wanted) in expected {
            let found = by.of(&scores).unwrap();
            assert!(
                (found - wanted).abs() <= 1e-12 * wanted.abs(),
                "{by:?} of {name}: {found} is not {wanted}"
            );
        }
    }
}

#[test]
fn no_score_has_no_aggregate() {
    assert_eq!(Aggregate::Min.of(&[]), None);
}
