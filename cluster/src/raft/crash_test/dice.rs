//! Chance from a seed: the same seed, the same history.

pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// A number below `limit`, which is not 0. (SplitMix64.)
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }

    pub fn position(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    pub fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }
}

/// How many histories a test tries: `usual`, unless the environment asks for another number.
pub fn seeds(usual: u64) -> std::ops::Range<u64> {
    let asked = std::env::var("VEDETTE_CRASH_SEEDS").ok();
    0..asked.map_or(usual, |number| number.parse().expect("VEDETTE_CRASH_SEEDS is a number"))
}
