//! The contract of submit, step and cancel, on a tiny checkpoint and a clock of our own.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use surefoot_engine::{Engine, Event, Job, JobId, Model, guarded, load};
use surefoot_model::choose::ProfileChoice;
use surefoot_model::device::Choice;
use surefoot_model::{Overflow, Source, Trace};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name)
}

fn model(name: &str) -> Arc<Model> {
    load(&Source::new(fixture(name)), Choice::Cpu, &ProfileChoice::default()).unwrap()
}

fn job(model: &Arc<Model>, steps: &[&str]) -> Job {
    let trace = Trace {
        problem: "What is 2 + 2?".into(),
        steps: steps.iter().map(ToString::to_string).collect(),
        system: None,
        overflow: Overflow::Refuse,
    };
    Job {
        model: model.clone(),
        trace,
    }
}

fn still() -> Duration {
    Duration::ZERO
}

/// Steps until nothing waits.
fn drain(engine: &Engine) -> Vec<Event> {
    let mut events = Vec::new();
    while engine.waiting() > 0 {
        events.extend(engine.step(&still));
    }
    events
}

fn ids(events: &[Event]) -> Vec<JobId> {
    events.iter().map(|event| event.id).collect()
}

#[test]
fn every_job_ends_in_one_event() {
    let engine = Engine::default();
    let (qwen, llama) = (model("qwen2-mlp2"), model("llama-vhead"));
    let submitted: Vec<JobId> = (0..40)
        .map(|index| engine.submit(job(if index % 3 == 0 { &llama } else { &qwen }, &["2 + 2 = 4", "A: 4"])))
        .collect();
    let events = drain(&engine);
    let mut seen = ids(&events);
    seen.sort_unstable();
    assert_eq!(seen, submitted);
    assert!(
        events
            .iter()
            .all(|event| event.outcome.as_ref().unwrap().scores.len() == 2)
    );
    assert!(engine.step(&still).is_empty());
}

#[test]
fn a_bad_job_fails_alone() {
    let engine = Engine::default();
    let model = model("qwen2-mlp2");
    let good = engine.submit(job(&model, &["2 + 2 = 4"]));
    let bad = engine.submit(job(&model, &[]));
    let long = engine.submit(job(&model, &["word "; 4000]));
    let events = drain(&engine);
    assert_eq!(events.len(), 3);
    for Event { id, outcome } in events {
        match outcome {
            Ok(outcome) => assert_eq!((id, outcome.scores.len()), (good, 1)),
            Err(error) if id == bad => assert_eq!(error.code(), "ERR_INVALID_ARGUMENT"),
            Err(error) => assert_eq!((id, error.code()), (long, "ERR_CONTEXT_OVERFLOW")),
        }
    }
}

#[test]
fn a_step_takes_what_fits_and_leaves_the_rest() {
    let engine = Engine::default();
    let folder = std::env::temp_dir().join(format!("surefoot-engine-{}", std::process::id()));
    copy(&fixture("llama-linear2"), &folder);
    let model = load(&Source::new(&folder), Choice::Cpu, &ProfileChoice::default()).unwrap();
    for _ in 0..200 {
        engine.submit(job(&model, &["2 + 2 = 4", "A: 4"]));
    }
    // 1 ms for the first step of 512 tokens: the next one may take a hundred times as many.
    let clock = Cell::new(0);
    let events = engine.step(&|| {
        clock.set(clock.get() + 1);
        Duration::from_millis(clock.get())
    });
    assert!(!events.is_empty() && engine.waiting() > 100);
    drain(&engine);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_cancelled_job_has_no_event() {
    let engine = Engine::default();
    let model = model("qwen2-mlp2");
    let before = engine.submit(job(&model, &["one"]));
    let kept = engine.submit(job(&model, &["two"]));
    let during = engine.submit(job(&model, &["three"]));
    engine.cancel(before);
    // The clock is read when the batch is taken and not yet computed.
    let events = engine.step(&|| {
        engine.cancel(during);
        Duration::ZERO
    });
    assert_eq!(ids(&events), [kept]);
    engine.cancel(kept);
    assert_eq!(engine.waiting(), 0);
}

#[test]
fn work_that_nobody_waits_for_stops_between_layers() {
    let engine = Engine::default();
    let model = model("qwen2-mlp2");
    let only = engine.submit(job(&model, &["one"]));
    let events = engine.step(&|| {
        engine.cancel(only);
        Duration::ZERO
    });
    assert!(events.is_empty());
    let prompt = model.prm().encode(&job(&model, &["one"]).trace).unwrap();
    assert!(model.prm().score(&[&prompt], &|| true).is_err());
}

#[test]
fn the_same_folder_is_loaded_once_and_an_edited_one_again() {
    let folder = std::env::temp_dir().join(format!("surefoot-registry-{}", std::process::id()));
    copy(&fixture("llama-vhead"), &folder);
    let load = || load(&Source::new(&folder), Choice::Cpu, &ProfileChoice::default()).unwrap();
    let threads: Vec<_> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..4).map(|_| scope.spawn(load)).collect();
        handles.into_iter().map(|handle| handle.join().unwrap()).collect()
    });
    assert!(threads.iter().all(|model| Arc::ptr_eq(model, &threads[0])));
    let config = std::fs::read_to_string(folder.join("config.json")).unwrap();
    std::fs::write(folder.join("config.json"), format!("{config}\n")).unwrap();
    assert!(!Arc::ptr_eq(&load(), &threads[0]));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_panic_becomes_an_error() {
    let error = guarded::<()>(|| panic!("out of cheese")).unwrap_err();
    assert_eq!(error.code(), "ERR_INTERNAL");
    assert!(error.to_string().contains("out of cheese"));
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
