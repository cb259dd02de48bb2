//! Lengths: canvas pixels or a share of an axis.

use serde::{Deserialize, Serialize};

/// A length as written: absolute, or relative to an axis that only the evaluator knows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Length {
    /// Canvas pixels.
    Pixels(f64),
    /// Percent of the matching axis: 50.0 is half of it.
    Percent(f64),
}

impl Length {
    /// In pixels, where a hundred percent are `axis` pixels.
    #[must_use]
    pub fn resolve(self, axis: f64) -> f64 {
        match self {
            Length::Pixels(pixels) => pixels,
            Length::Percent(percent) => axis * percent / 100.0,
        }
    }
}
