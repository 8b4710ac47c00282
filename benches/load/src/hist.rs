//! A histogram of microseconds that many tasks write: 64 steps to each power of two, so what it says
//! is at most 0.8 % off.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde_json::{Value, json};

const STEPS: u64 = 128;
const CELLS: usize = 128 * 30;

/// See the file.
#[derive(Debug)]
pub(crate) struct Hist(Vec<AtomicU64>);

impl Default for Hist {
    fn default() -> Self {
        Self((0..CELLS).map(|_| AtomicU64::new(0)).collect())
    }
}

fn index(value: u64) -> usize {
    if value < STEPS {
        return usize::try_from(value).unwrap_or(0);
    }
    let shift = u64::from(63 - value.leading_zeros()) - 6;
    usize::try_from(shift * 64 + (value >> shift)).unwrap_or(usize::MAX)
}

fn value(index: usize) -> u64 {
    let index = u64::try_from(index).unwrap_or(0);
    if index < STEPS {
        return index;
    }
    let shift = index / 64 - 1;
    ((index - shift * 64) << shift) + (1 << shift) / 2
}

impl Hist {
    pub(crate) fn record_us(&self, us: u64) {
        self.0[index(us).min(CELLS - 1)].fetch_add(1, Relaxed);
    }

    fn count(&self) -> u64 {
        self.0.iter().map(|cell| cell.load(Relaxed)).sum()
    }

    /// Returns what `thousandths` of the values are not above.
    fn quantile(&self, thousandths: u64) -> u64 {
        let wanted = (self.count() * thousandths).div_ceil(1000).max(1);
        let mut sum = 0;
        for (index, cell) in self.0.iter().enumerate() {
            sum += cell.load(Relaxed);
            if sum >= wanted {
                return value(index);
            }
        }
        0
    }

    pub(crate) fn json(&self) -> Value {
        if self.count() == 0 {
            return Value::Null;
        }
        let last = self.0.iter().rposition(|cell| cell.load(Relaxed) > 0);
        json!({
            "n": self.count(),
            "p50_us": self.quantile(500),
            "p90_us": self.quantile(900),
            "p99_us": self.quantile(990),
            "p999_us": self.quantile(999),
            "max_us": last.map_or(0, value),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_less_than_a_hundredth_off() {
        for us in [0, 1, 63, 64, 127, 128, 129, 255, 256, 1000, 65_535, 1_000_000, 60_000_000] {
            assert!(value(index(us)).abs_diff(us) * 111 <= us, "{us}");
        }
    }

    #[test]
    fn counts() {
        let hist = Hist::default();
        for us in 1..=100 {
            hist.record_us(us);
        }
        assert_eq!((hist.quantile(500), hist.quantile(990)), (50, 99));
    }
}
