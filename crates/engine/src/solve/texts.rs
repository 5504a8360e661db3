//! The texts of a search's nodes: the numbers of the tree, and what stands behind them. The same rules as src/search/texts.ts.

use std::collections::HashMap;

use surefoot_search::{NodeId, ROOT, Stem};

/// A node's part of a solution.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Text {
    /// As it was written, with the separator behind a step that the answer goes on after.
    pub(crate) raw: String,
    /// The steps in it, trimmed; none of them blank.
    pub(crate) steps: Vec<String>,
}

pub(crate) struct Texts {
    separator: String,
    /// Whether a text has steps; an outcome model takes it as one.
    splits: bool,
    nodes: HashMap<NodeId, (NodeId, Text)>,
}

impl Texts {
    pub(crate) fn new(separator: String, splits: bool) -> Self {
        Self {
            separator,
            splits,
            nodes: HashMap::new(),
        }
    }

    /// What a policy wrote behind a node. `goes_on`: a separator ended it.
    pub(crate) fn text_of(&self, written: &str, goes_on: bool) -> Text {
        let mut raw = written.to_owned();
        if goes_on {
            raw.push_str(&self.separator);
        }
        let steps = match self.splits {
            true => raw
                .split(&self.separator)
                .map(trimmed)
                .filter(is_text)
                .map(str::to_owned)
                .collect(),
            false => Some(trimmed(&raw))
                .filter(is_text)
                .map(str::to_owned)
                .into_iter()
                .collect(),
        };
        Text { raw, steps }
    }

    pub(crate) fn set(&mut self, node: NodeId, parent: NodeId, text: Text) {
        self.nodes.insert(node, (parent, text));
    }

    pub(crate) fn has(&self, node: NodeId) -> bool {
        node == ROOT || self.nodes.contains_key(&node)
    }

    /// Gives a node the first steps of another.
    pub(crate) fn cut(&mut self, node: NodeId, stem: Stem) {
        let Some((parent, text)) = self.nodes.get(&stem.of) else {
            return;
        };
        let mut found = 0;
        let parts = text.raw.split(&self.separator).take_while(|part| {
            let goes_on = found < stem.steps;
            found += u32::from(is_text(&trimmed(part)));
            goes_on
        });
        let begin = parts.collect::<Vec<_>>().join(&self.separator);
        let (parent, text) = (*parent, self.text_of(&begin, true));
        self.set(node, parent, text);
    }

    /// The whole text from the root to the end of a node.
    pub(crate) fn prefix(&self, node: NodeId) -> String {
        self.way(node).iter().map(|text| text.raw.as_str()).collect()
    }

    /// Its steps.
    pub(crate) fn steps(&self, node: NodeId) -> Vec<String> {
        self.way(node)
            .iter()
            .flat_map(|text| text.steps.iter().cloned())
            .collect()
    }

    fn way(&self, node: NodeId) -> Vec<&Text> {
        let mut way = Vec::new();
        let mut at = node;
        while let Some((parent, text)) = self.nodes.get(&at) {
            way.push(text);
            at = *parent;
        }
        way.reverse();
        way
    }
}

fn is_text(part: &&str) -> bool {
    !part.is_empty()
}

/// Without white space at its ends, as JavaScript understands it.
pub(crate) fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| (c.is_whitespace() && c != '\u{85}') || c == '\u{feff}')
}

/// A number below 2⁵² that equal texts share: two runs of FNV-1a over its UTF-16 units, the second one from the end. The
/// same as `hashOf` of src/search/texts.ts.
pub(crate) fn hash_of(text: &str) -> u64 {
    let units: Vec<u16> = trimmed(text).encode_utf16().collect();
    let step = |hash: u32, unit: &u16| (hash ^ u32::from(*unit)).wrapping_mul(0x0100_0193);
    let forth = units.iter().fold(0x811c_9dc5, step);
    let back = units.iter().rev().fold(0x9747_b28c, step);
    u64::from(forth) << 20 | u64::from(back >> 12)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stem_is_the_beginning_of_a_text_by_its_steps() {
        let mut texts = Texts::new("\n\n".into(), true);
        let text = texts.text_of("a\n\n \n\nb\n\nc", false);
        assert_eq!(text.steps, ["a", "b", "c"]);
        texts.set(1, ROOT, text);
        for (steps, raw) in [(1, "a\n\n"), (2, "a\n\n \n\nb\n\n"), (3, "a\n\n \n\nb\n\nc\n\n")] {
            texts.cut(7, Stem { of: 1, steps });
            assert_eq!(texts.prefix(7), raw);
            assert_eq!(texts.steps(7).len(), steps as usize);
        }
    }

    #[test]
    fn white_space_is_what_javascript_takes_for_it() {
        assert_eq!(trimmed("\u{feff}\u{a0}\t a\u{85}\u{2028}"), "a\u{85}");
    }
}
