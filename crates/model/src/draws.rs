//! Random numbers by a counter: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011). A
//! draw depends on its names alone, so the same names give the same number in any batch, on any thread, in any order.

/// The draws of one text, named by seed, problem and path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draws {
    key: [u32; 2],
    path: [u32; 2],
}

impl Draws {
    /// `problem` and `path` are hashes of what the text answers and of its place among the texts that do.
    pub fn new(seed: u64, problem: u64, path: u64) -> Self {
        Self {
            key: halves(mixed(mixed(seed) ^ problem)),
            path: halves(mixed(path)),
        }
    }

    /// Draw `attempt` for token `token`: uniform over the multiples of 2⁻⁵³ in [0, 1).
    pub fn uniform(&self, token: u32, attempt: u32) -> f64 {
        let [a, b, ..] = philox([token, attempt, self.path[0], self.path[1]], self.key);
        let bits = u64::from(a) << 32 | u64::from(b);
        (bits >> 11) as f64 * (-53f64).exp2()
    }
}

/// FNV-1a over a text's bytes, mixed.
pub fn hash(parts: &[&[u8]]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for part in parts {
        // A length before each part: "ab", "c" is not "a", "bc".
        let length = (part.len() as u64).to_le_bytes();
        for byte in length.iter().chain(*part) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    mixed(hash)
}

fn halves(x: u64) -> [u32; 2] {
    [x as u32, (x >> 32) as u32]
}

/// SplitMix64's step: neighbours become strangers.
fn mixed(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    const ROUNDS: usize = 10;
    for _ in 0..ROUNDS {
        let [c0, c1, c2, c3] = counter;
        let a = u64::from(c0) * 0xd251_1f53;
        let b = u64::from(c2) * 0xcd9e_8d57;
        counter = [
            (b >> 32) as u32 ^ c1 ^ key[0],
            b as u32,
            (a >> 32) as u32 ^ c3 ^ key[1],
            a as u32,
        ];
        key = [key[0].wrapping_add(0x9e37_79b9), key[1].wrapping_add(0xbb67_ae85)];
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers of Random123 (kat_vectors).
    #[test]
    fn philox_gives_the_published_answers() {
        assert_eq!(
            philox([0; 4], [0; 2]),
            [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]
        );
        assert_eq!(
            philox([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox(
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0]
            ),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn draws_of_other_names_are_other_draws_and_spread_evenly() {
        let draws = |seed, problem, path| Draws::new(seed, problem, path).uniform(0, 0);
        let one = draws(1, 2, 3);
        assert_eq!(one, draws(1, 2, 3));
        for other in [draws(2, 2, 3), draws(1, 3, 3), draws(1, 2, 4), draws(2, 1, 3)] {
            assert_ne!(one, other);
        }
        let mut counts = [0u32; 16];
        for path in 0..4_000 {
            for token in 0..4 {
                let draw = Draws::new(7, 7, path).uniform(token, 0);
                counts[(draw * 16.0) as usize] += 1;
            }
        }
        let expected = 16_000.0 / 16.0;
        let chi: f64 = counts
            .iter()
            .map(|&n| (f64::from(n) - expected).powi(2) / expected)
            .sum();
        // The 99.9th percentile of 15 degrees of freedom.
        assert!(chi < 37.70, "{chi}");
    }

    #[test]
    fn a_hash_tells_where_its_parts_end() {
        assert_ne!(hash(&[b"ab", b"c"]), hash(&[b"a", b"bc"]));
        assert_ne!(hash(&[b"", b"a"]), hash(&[b"a", b""]));
    }
}
