//! Whole searches against trees that were checked by hand; each file says how. A line of `world` is a continuation by its
//! place among those of its prefix: its scores, how it ends, the group of its answer. A line of `asked` is a request in its
//! order, one of `found` a first error. `a/n` is the beginning of `a` with n steps.

mod support;

use std::collections::BTreeMap;

use surefoot_search::{Ask, Budget, Child, Config, Event, Lookahead, Search, Until};

#[derive(Default)]
struct Golden {
    config: Option<Config>,
    budget: Budget,
    world: BTreeMap<String, Child>,
    groups: BTreeMap<String, Option<u32>>,
    asked: Vec<String>,
    tree: Vec<String>,
    chosen: String,
    found: Vec<String>,
}

fn parse(text: &str) -> Golden {
    let mut golden = Golden::default();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (word, rest) = line.split_once(' ').unwrap();
        match word {
            "config" => golden.config = Some(serde_json::from_str(rest).unwrap()),
            "budget" => golden.budget = serde_json::from_str(rest).unwrap(),
            "world" => {
                let (name, rest) = rest.split_once(": ").unwrap();
                let mut child = Child {
                    policy_tokens: 1,
                    ..Child::default()
                };
                for word in rest.split(' ') {
                    match word.split_once('=') {
                        None if word == "ended" => child.ended = true,
                        None if word == "cut" => child.cut = true,
                        None if word == "right" => child.correct = Some(true),
                        None if word == "wrong" => child.correct = Some(false),
                        None => child.scores.push(word.parse().unwrap()),
                        Some(("", group)) => {
                            golden.groups.insert(name.into(), group.parse().ok());
                        }
                        Some(("prefixes", texts)) => {
                            child.prefixes = texts.split(',').map(|text| text.parse().unwrap()).collect();
                        }
                        Some(("tokens", tokens)) => child.policy_tokens = tokens.parse().unwrap(),
                        Some(("text", text)) => child.text = Some(text.parse().unwrap()),
                        Some(("ahead", score)) => child.ahead.push(score.parse().unwrap()),
                        _ => panic!("{line}"),
                    }
                }
                child.steps = child.scores.len().max(child.prefixes.len()).max(1) as u32;
                golden.world.insert(name.into(), child);
            }
            "asked" => golden.asked.push(rest.into()),
            "tree" => golden.tree.push(rest.into()),
            "chosen" => golden.chosen = rest.into(),
            "found" => golden.found.push(rest.into()),
            _ => panic!("{line}"),
        }
    }
    golden
}

fn check(file: &str, text: &str) {
    let golden = parse(text);
    let mut search = Search::new(golden.config.unwrap(), golden.budget).unwrap();
    search.trace(true);
    let mut names = BTreeMap::from([(0, "-".to_owned())]);
    let mut ordinals = BTreeMap::<u32, u32>::new();
    let mut asked = vec![];
    while let Ask::Requests(requests) = search.ask(1, 0) {
        let request = requests[0];
        if let Some(stem) = request.stem {
            names.insert(request.node, format!("{}/{}", names[&stem.of], stem.steps));
        }
        let parent = names[&request.node].clone();
        let until = if request.until == Until::Step { "step" } else { "answer" };
        let ahead = match request.lookahead {
            Lookahead::None => String::new(),
            Lookahead::Steps(steps) => format!(" ahead {steps}"),
            Lookahead::Answer => " ahead".into(),
        };
        asked.push(format!("{parent} {} {until}{ahead}", request.count));
        let ordinal = ordinals.entry(request.node).or_default();
        let mut children = vec![];
        let mut new = vec![];
        for _ in 0..request.count {
            let name = if parent == "-" {
                ordinal.to_string()
            } else {
                format!("{parent}.{ordinal}")
            };
            let child = golden
                .world
                .get(&name)
                .unwrap_or_else(|| panic!("{file}: no {name} is foreseen"));
            children.push(child.clone());
            new.push(name);
            *ordinal += 1;
        }
        let nodes = search.tell(request.id, &children).unwrap();
        names.extend(nodes.zip(new));
    }
    assert_eq!(asked, golden.asked, "{file}");
    let found = search.take_events().into_iter().filter_map(|event| match event {
        Event::FirstError {
            node,
            step,
            before,
            behind,
        } => {
            let behind = behind.map_or("nothing", |node| &names[&node]);
            Some(format!(
                "{} step {step} between {} and {behind}",
                names[&node], names[&before]
            ))
        }
        _ => None,
    });
    assert_eq!(found.collect::<Vec<_>>(), golden.found, "{file}");
    let tree = search.tree();
    let lines = tree.nodes().map(|node| {
        let number = |value: Option<f64>| value.map_or("none".into(), |value| format!("{value:.4}"));
        let mut line = format!("{} {}", names[&node], number(tree.estimate(node)));
        if tree.visits(node) > 0 {
            line += &format!(" visits {} value {}", tree.visits(node), number(tree.value(node)));
        }
        for (is, word) in [
            (tree.has_ended(node), " ended"),
            (tree.is_cut(node), " cut"),
            (tree.is_repeated(node), " repeated"),
            (tree.is_pruned(node), " pruned"),
        ] {
            line += if is { word } else { "" };
        }
        line
    });
    let lines: Vec<_> = lines.collect();
    assert_eq!(lines, golden.tree, "{file}");
    let groups: Vec<_> = tree
        .nodes()
        .filter_map(|node| Some((node, *golden.groups.get(&names[&node])?)))
        .collect();
    search.group(&groups).unwrap();
    let chosen = search.best().unwrap();
    assert_eq!(
        format!("{} vote {:.4}", names[&chosen.node], chosen.vote),
        golden.chosen,
        "{file}"
    );
}

#[test]
fn every_golden_tree_grows_as_it_was_checked_by_hand() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    assert_eq!(files.len(), 13);
    for file in files {
        check(&file.display().to_string(), &std::fs::read_to_string(&file).unwrap());
    }
}
