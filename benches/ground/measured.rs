//! What a run showed.

use std::time::Duration;

#[derive(Debug, Default)]
pub struct Measured {
    /// How often what is measured was done.
    pub count: u64,
    pub elapsed: Duration,
    pub latencies_us: Vec<u32>,
}

impl Measured {
    /// Rounds as one.
    pub fn all(rounds: &[Self]) -> Self {
        let mut all = Self::default();
        for round in rounds {
            all.count += round.count;
            all.elapsed += round.elapsed;
            all.latencies_us.extend(&round.latencies_us);
        }
        all.latencies_us.sort_unstable();
        all
    }

    pub fn per_second(&self) -> f64 {
        self.count as f64 / self.elapsed.as_secs_f64()
    }

    /// In milliseconds; of what [`Measured::all`] made.
    pub fn percentile(&self, percent: usize) -> f64 {
        let at = self.latencies_us.len() * percent / 100;
        f64::from(self.latencies_us.get(at).copied().unwrap_or(0)) / 1000.0
    }
}
