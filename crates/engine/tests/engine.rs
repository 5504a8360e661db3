//! The contract of submit, step and cancel, on a tiny checkpoint and a clock of our own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use surefoot_engine::{Engine, Event, Job, JobId, Model, Outcome, Task, guarded, load, load_policy};
use surefoot_model::choose::ProfileChoice;
use surefoot_model::compute::Compute;
use surefoot_model::device::Choice;
use surefoot_model::policy::{PolicyChoice, Request};
use surefoot_model::sampler::Settings;
use surefoot_model::{Overflow, Source, Trace};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name)
}

fn model(name: &str) -> Arc<Model> {
    load(
        &Source::new(fixture(name)),
        &Compute::on(Choice::Cpu),
        &ProfileChoice::default(),
    )
    .unwrap()
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
        caller: 0,
        task: Task::Score(trace),
    }
}

fn still() -> Duration {
    Duration::ZERO
}

/// Every step takes a second: steps stay as small as they can be.
fn slow() -> impl Fn() -> Duration + Sync {
    let clock = AtomicU64::new(0);
    move || Duration::from_secs(clock.fetch_add(1, Ordering::Relaxed))
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
    let done = events.iter().filter_map(|event| match event {
        Event::Done { id, .. } => Some(*id),
        Event::Text { .. } | Event::Progress { .. } => None,
    });
    done.collect()
}

fn scores(event: &Event) -> &[f32] {
    match event {
        Event::Done {
            outcome: Ok(Outcome::Scored { scores, .. }),
            ..
        } => scores,
        other => panic!("{other:?}"),
    }
}

fn trace(job: Job) -> Trace {
    match job.task {
        Task::Score(trace) => trace,
        Task::Prompt(_) | Task::Generate { .. } => panic!("nothing to score"),
    }
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
    assert!(events.iter().all(|event| scores(event).len() == 2));
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
    for event in events {
        match &event {
            Event::Done {
                id,
                outcome: Err(error),
            } if *id == bad => assert_eq!(error.code(), "ERR_INVALID_ARGUMENT"),
            Event::Done {
                id,
                outcome: Err(error),
            } => assert_eq!((*id, error.code()), (long, "ERR_CONTEXT_OVERFLOW")),
            Event::Done { id, .. } => assert_eq!((*id, scores(&event).len()), (good, 1)),
            Event::Text { .. } | Event::Progress { .. } => panic!("{event:?}"),
        }
    }
}

#[test]
fn a_step_takes_what_fits_and_leaves_the_rest() {
    let engine = Engine::default();
    let folder = std::env::temp_dir().join(format!("surefoot-engine-{}", std::process::id()));
    copy(&fixture("llama-linear2"), &folder);
    let model = load(
        &Source::new(&folder),
        &Compute::on(Choice::Cpu),
        &ProfileChoice::default(),
    )
    .unwrap();
    for number in 0..200 {
        engine.submit(job(&model, &[&format!("{number} + 2 = 4"), "A: 4"]));
    }
    // 1 ms for the first step of 512 tokens: the next one may take a hundred times as many.
    let clock = AtomicU64::new(0);
    let events = engine.step(&|| Duration::from_millis(clock.fetch_add(1, Ordering::Relaxed)));
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
    let prm = model.prm().unwrap();
    let prompt = prm.encode(&trace(job(&model, &["one"]))).unwrap();
    assert!(prm.score(&[&prompt], 100, &|| true).is_err());
}

#[test]
fn the_same_folder_is_loaded_once_and_an_edited_one_again() {
    let folder = std::env::temp_dir().join(format!("surefoot-registry-{}", std::process::id()));
    copy(&fixture("llama-vhead"), &folder);
    let load = || {
        load(
            &Source::new(&folder),
            &Compute::on(Choice::Cpu),
            &ProfileChoice::default(),
        )
        .unwrap()
    };
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

/// A caller with many jobs does not hold up another with one.
#[test]
fn callers_take_turns() {
    let engine = Engine::default();
    let model = model("qwen2-mlp2");
    for number in 0..10_000 {
        engine.submit(job(&model, &[&format!("{number} apples")]));
    }
    let one = engine.submit(Job {
        caller: 1,
        ..job(&model, &["one pear"])
    });
    let slow = slow();
    let mut events = vec![];
    let mut steps = 0;
    while !ids(&events).contains(&one) {
        events.extend(engine.step(&slow));
        steps += 1;
    }
    assert!(steps <= 3 && engine.waiting() > 9_000, "{steps} steps");
}

#[test]
fn a_trace_longer_than_a_step_is_scored_in_pieces_and_the_same() {
    let model = model("qwen2-mlp2");
    let steps: Vec<String> = (0..60)
        .map(|number| format!("{number} and {number} are {}", 2 * number))
        .collect();
    let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
    let engine = Engine::default();
    let slow = slow();
    engine.submit(job(&model, &steps));
    let mut rounds = 0;
    let mut events = vec![];
    while events.is_empty() {
        events = engine.step(&slow);
        rounds += 1;
    }
    assert!(rounds > 3, "{rounds} rounds");
    let nothing_kept = Compute {
        reuse: false,
        ..Compute::on(Choice::Cpu)
    };
    let source = Source::new(fixture("qwen2-mlp2"));
    let alone = surefoot_model::Prm::load(&source, &nothing_kept, &ProfileChoice::default()).unwrap();
    let prompt = alone.encode(&trace(job(&model, &steps))).unwrap();
    let whole = alone.score(&[&prompt], 10_000, &|| false).unwrap().remove(0).unwrap();
    assert_eq!(scores(&events[0]), whole.scores);
    assert_eq!(model.counters().budget, alone.counters().budget);
}

/// What an aborted step had planned is forgotten: its pages are free again, and the next one computes it.
#[test]
fn an_aborted_step_leaves_no_page_behind() {
    let engine = Engine::default();
    let folder = std::env::temp_dir().join(format!("surefoot-abort-{}", std::process::id()));
    copy(&fixture("llama-linear2"), &folder);
    let model = load(
        &Source::new(&folder),
        &Compute::on(Choice::Cpu),
        &ProfileChoice::default(),
    )
    .unwrap();
    for round in 0..20 {
        let id = engine.submit(job(&model, &[&format!("{round} is cancelled between two layers")]));
        let events = engine.step(&|| {
            engine.cancel(id);
            Duration::ZERO
        });
        assert!(events.is_empty());
    }
    let bytes_after = |model: &Arc<Model>| {
        engine.submit(job(model, &["this one is not"]));
        assert_eq!(scores(&drain(&engine)[0]).len(), 1);
        model.counters().bytes
    };
    let fresh = load(
        &Source::new(&folder),
        &Compute {
            cache_bytes: Some(1 << 30),
            ..Compute::on(Choice::Cpu)
        },
        &ProfileChoice::default(),
    );
    assert_eq!(bytes_after(&model), bytes_after(&fresh.unwrap()));
    std::fs::remove_dir_all(&folder).unwrap();
}

fn tiny(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models").join(name)
}

fn policy() -> Arc<Model> {
    let source = Source::new(tiny("tiny-policy"));
    load_policy(&source, &Compute::on(Choice::Cpu), &PolicyChoice::default()).unwrap()
}

fn writing(model: &Arc<Model>, caller: u64, n: usize, seed: u64, streams: bool) -> Job {
    let request = Request {
        problem: "A pond has 9 fish. 4 more come. How many fish are there?".into(),
        system: None,
        prefix: String::new(),
        n,
        step: false,
        separator: None,
        stop: vec![],
        max_tokens: 80,
        settings: Settings::default(),
        banned_texts: vec![],
        seed,
        path: String::new(),
        logprobs: false,
    };
    Job {
        model: model.clone(),
        caller,
        task: Task::Generate { request, streams },
    }
}

fn texts(event: &Event) -> Vec<String> {
    match event {
        Event::Done {
            outcome: Ok(Outcome::Generated(texts)),
            ..
        } => texts.iter().map(|text| text.text.clone()).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn texts_are_the_same_beside_other_texts_and_beside_traces() {
    let policy = policy();
    let alone = Engine::default();
    alone.submit(writing(&policy, 0, 3, 5, false));
    let expected = texts(&drain(&alone)[0]);
    let engine = Engine::default();
    let prm = model("qwen2-mlp2");
    let mut wanted = vec![];
    for round in 0..20 {
        engine.submit(writing(&policy, round, 2, 100 + round, false));
        engine.submit(Job {
            caller: round,
            ..job(&prm, &[&format!("{round} is one step"), "and another"])
        });
        if round % 6 == 0 {
            wanted.push(engine.submit(writing(&policy, round, 3, 5, false)));
        }
        // Those that come later join those that are under way.
        engine.step(&slow());
    }
    let mut events = drain(&engine);
    events.retain(|event| matches!(event, Event::Done { id, .. } if wanted.contains(id)));
    assert!(!events.is_empty());
    for event in &events {
        assert_eq!(texts(event), expected);
    }
}

#[test]
fn a_text_is_told_while_it_is_written_and_the_pieces_are_the_text() {
    let engine = Engine::default();
    let policy = policy();
    let told = engine.submit(writing(&policy, 0, 2, 1, true));
    engine.submit(writing(&policy, 0, 2, 1, false));
    let mut pieces = [String::new(), String::new()];
    let (mut steps_with_text, mut done) = (0, None);
    // Every pass takes a second: it tells after each.
    let slow = slow();
    while engine.waiting() > 0 {
        let events = engine.step(&slow);
        steps_with_text += usize::from(events.iter().any(|event| matches!(event, Event::Text { .. })));
        for event in events {
            match event {
                Event::Text { id, index, text } => {
                    assert!(id == told && done.is_none() && !text.is_empty());
                    pieces[index] += &text;
                }
                Event::Done { id, .. } if id == told => done = Some(texts(&event)),
                Event::Done { .. } | Event::Progress { .. } => {}
            }
        }
    }
    assert_eq!(done.unwrap(), pieces);
    assert!(steps_with_text > 10, "{steps_with_text}");
}

#[test]
fn a_cancelled_text_gives_its_pages_back_and_holds_up_nobody() {
    let engine = Engine::default();
    let policy = policy();
    let slow = slow();
    let stays = engine.submit(writing(&policy, 0, 1, 9, false));
    let goes = engine.submit(writing(&policy, 1, 64, 9, true));
    for _ in 0..5 {
        engine.step(&slow);
    }
    engine.cancel(goes);
    let events = drain(&engine);
    assert_eq!(ids(&events), [stays]);
    assert!(events.iter().all(|event| matches!(event, Event::Done { .. })));
    assert_eq!(engine.waiting(), 0);
}

#[test]
fn work_of_the_wrong_kind_fails_by_itself() {
    let engine = Engine::default();
    let (policy, prm) = (policy(), model("qwen2-mlp2"));
    let write = engine.submit(writing(&prm, 0, 1, 1, false));
    let score = engine.submit(job(&policy, &["2 + 2 = 4"]));
    let good = engine.submit(writing(&policy, 0, 1, 1, false));
    for event in drain(&engine) {
        match event {
            Event::Done {
                id,
                outcome: Err(error),
            } => {
                assert!(id == write || id == score);
                assert_eq!(error.code(), "ERR_INVALID_ARGUMENT");
            }
            other => assert_eq!(ids(&[other]), [good]),
        }
    }
}

/// A policy with much to write does not keep a PRM waiting, nor the other way round.
#[test]
fn models_take_turns() {
    let engine = Engine::default();
    let (policy, prm) = (policy(), model("qwen2-mlp2"));
    engine.submit(writing(&policy, 0, 400, 1, false));
    let slow = slow();
    engine.step(&slow);
    let score = engine.submit(job(&prm, &["2 + 2 = 4"]));
    let mut steps = 0;
    while !ids(&engine.step(&slow)).contains(&score) {
        steps += 1;
        assert!(steps < 3);
    }
}
