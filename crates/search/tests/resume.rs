//! Kills, threads and empty words: what a driver may do to a search without changing what comes of it.

mod support;

use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use support::{Draws, World, bytes, drive, drive_wide, new, settle, strategies};
use surefoot_search::{Ask, Budget, Child, Config, Event, Finish, Request, Scoring, Search, Until};

const KILLS: u64 = 200;

#[test]
fn killed_at_200_seeded_points_each_strategy_goes_on_to_the_result_of_an_unbroken_run() {
    for (name, config) in strategies() {
        let mut ends = 0;
        for seed in 0..KILLS {
            let world = World {
                failing: seed % 5 * 3,
                short: seed % 3 * 4,
                ..World::new(seed)
            };
            let budget = Budget {
                generations: (seed % 4 == 0).then_some(30),
                ..Budget::default()
            };
            let mut whole = new(&config, budget);
            let outcome = drive(&mut whole, &world);
            let mut draws = Draws(seed);
            let mut events = whole.clone().take_events();
            events.retain(|event| matches!(event, Event::Expanded { .. }));
            let kill = draws.below(1 + events.len());
            let mut search = new(&config, budget);
            let mut out: Vec<Request> = vec![];
            for _ in 0..kill {
                match search.ask(4 - out.len(), 0) {
                    Ask::Requests(requests) => out.extend(requests),
                    Ask::Wait => {}
                    Ask::Done(_) => {
                        ends += 1;
                        break;
                    }
                }
                let request = out.swap_remove(draws.below(out.len()));
                settle(&mut search, &world, &request);
            }
            let text = serde_json::to_string(&search.snapshot()).unwrap();
            drop(search);
            let mut restored = Search::restore(serde_json::from_str(&text).unwrap()).unwrap();
            let width = 1 + draws.below(9);
            // What was out is sent again, however many can be at once then.
            let width = width.max(restored.outstanding().len());
            assert_eq!(
                drive_wide(&mut restored, &world, width, &mut draws),
                outcome,
                "{name} {seed}"
            );
            assert!(bytes(&restored) == bytes(&whole), "{name} {seed}");
        }
        assert!(ends < KILLS / 2, "{name} was mostly killed after its end: {ends}");
    }
}

/// So many threads that answer whichever request is next, and tell in the order in which they are done.
fn threaded(config: &Config, world: World, threads: usize) -> Search {
    let mut search = new(config, Budget::default());
    let (ask, asked) = mpsc::channel::<Request>();
    let (tell, told) = mpsc::channel();
    let asked = Arc::new(Mutex::new(asked));
    for _ in 0..threads {
        let (asked, tell) = (Arc::clone(&asked), tell.clone());
        thread::spawn(move || {
            loop {
                let next = asked.lock().unwrap().recv();
                let Ok(request) = next else { return };
                // Some are slower than others.
                for _ in 0..request.path % 7 {
                    thread::yield_now();
                }
                if tell.send((request, world.answer(&request))).is_err() {
                    return;
                }
            }
        });
    }
    let mut out = 0;
    loop {
        match search.ask(threads - out, 0) {
            Ask::Requests(requests) => {
                out += requests.len();
                requests.into_iter().for_each(|request| ask.send(request).unwrap());
                continue;
            }
            Ask::Wait => {}
            Ask::Done(_) => {
                support::group_all(&mut search);
                return search;
            }
        }
        let (request, children) = told.recv().unwrap();
        out -= 1;
        match children {
            Some(children) => drop(search.tell(request.id, &children).unwrap()),
            None => search.fail(request.id).unwrap(),
        }
    }
}

#[test]
fn the_same_tree_comes_of_any_number_of_threads() {
    for (name, config) in strategies() {
        let world = World {
            failing: 9,
            ..World::new(4)
        };
        let mut alone = new(&config, Budget::default());
        drive(&mut alone, &world);
        for threads in [1, 2, 3, 8] {
            for _ in 0..3 {
                assert!(
                    bytes(&threaded(&config, world, threads)) == bytes(&alone),
                    "{name} on {threads} threads"
                );
            }
        }
    }
}

/// What a strange policy writes.
#[derive(Clone, Copy, Debug)]
enum Strange {
    /// Nothing at all, and says that the answer goes on.
    Empty,
    /// The same step each time, without an end.
    Repeated,
    /// The same whole answer each time.
    Parrot,
    /// A step, then nothing.
    Falters,
}

fn strange(kind: Strange, request: &Request) -> Child {
    let empty = match kind {
        Strange::Empty => true,
        Strange::Falters => request.node != 0,
        Strange::Repeated | Strange::Parrot => false,
    };
    let steps = u32::from(!empty);
    let ended = matches!(kind, Strange::Parrot) || request.until == Until::Answer && !empty;
    Child {
        policy_tokens: 1,
        steps,
        scores: match request.score {
            Scoring::None => vec![],
            Scoring::Last | Scoring::All => vec![0.5; steps as usize],
        },
        log_prior: request.priors.then_some(-1.0),
        ended,
        text: Some(u64::from(steps)),
        correct: Some(false),
        prefixes: vec![7; steps as usize],
        ..Child::default()
    }
}

#[test]
fn empty_and_repeated_continuations_end_a_search_with_a_tree_that_holds_together() {
    for (name, config) in strategies() {
        for kind in [Strange::Empty, Strange::Repeated, Strange::Parrot, Strange::Falters] {
            let mut search = new(&config, Budget::default());
            let mut asked = 0;
            while let Ask::Requests(requests) = search.ask(1, 0) {
                let request = requests[0];
                asked += request.count;
                let children = vec![strange(kind, &request); request.count as usize];
                search.tell(request.id, &children).unwrap();
                assert!(Search::restore(search.snapshot()).unwrap() == search, "{name} {kind:?}");
                assert!(asked < 3000, "{name} {kind:?} goes on for ever");
            }
            let outcome = search.outcome().unwrap();
            assert_eq!(outcome.finish, Finish::Complete, "{name} {kind:?}");
            let tree = search.tree();
            assert_eq!(
                tree.nodes()
                    .filter(|&node| tree.parent(node).is_some_and(|parent| parent >= node))
                    .count(),
                0
            );
            // An answer without a step is none.
            let solved = search.solutions().iter().any(|one| !one.cut);
            assert_eq!(solved, !matches!(kind, Strange::Empty), "{name} {kind:?}");
            assert_eq!(
                outcome
                    .chosen
                    .is_some_and(|chosen| chosen.finished && tree.has_ended(chosen.node)),
                solved
            );
        }
    }
}
