//! Chance that can be had again.

/// Numbers by chance, from `CALYPTE_SEED` or a seed that is new in each run.
#[derive(Clone, Debug)]
pub struct Chance {
    seed: u64,
    state: u64,
}

impl Default for Chance {
    fn default() -> Self {
        Self::new()
    }
}

impl Chance {
    /// Returns one that is different in each run, unless `CALYPTE_SEED` is set.
    #[must_use]
    pub fn new() -> Self {
        let given = std::env::var("CALYPTE_SEED").ok();
        let seed = given.map_or_else(
            || {
                let mut bytes = [0; 8];
                aws_lc_rs::rand::fill(&mut bytes).unwrap();
                u64::from_le_bytes(bytes)
            },
            |text| text.parse().expect("CALYPTE_SEED is a number"),
        );
        Self::from(seed)
    }

    /// Returns what it began with.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Returns another one that depends on this one.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self::from(self.next())
    }

    /// Returns a number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }

    /// Returns a number up to and with `last`.
    pub fn up_to(&mut self, last: u64) -> u64 {
        self.next() % (last + 1)
    }

    /// Returns bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        std::iter::repeat_with(|| self.next().to_le_bytes()[0]).take(count).collect()
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

impl From<u64> for Chance {
    fn from(seed: u64) -> Self {
        Self { seed, state: seed }
    }
}
