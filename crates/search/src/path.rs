//! The names of draws: a number for each continuation that follows from its place in the tree alone, so the same place is
//! written with the same draws whatever was asked before it.

/// The number of the root.
pub(crate) const ORIGIN: u64 = 0x5eed_0f00_7000_0001;

/// The number of continuation `ordinal`, counted from 0, of a node with number `parent`.
pub(crate) fn number(parent: u64, ordinal: u32) -> u64 {
    mixed(parent ^ mixed(u64::from(ordinal)))
}

/// SplitMix64's step: neighbours become strangers.
fn mixed(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}
