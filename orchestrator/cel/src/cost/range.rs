//! [`Range`]: the least and the most a size or a cost can be.

/// The least and the most a size or a cost can be. Sums and products stop at the largest number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The least.
    pub min: u64,
    /// The most.
    pub max: u64,
}

impl Range {
    /// Nothing.
    pub const ZERO: Self = Self::fixed(0);
    /// One.
    pub const ONE: Self = Self::fixed(1);
    /// Anything.
    pub const UNKNOWN: Self = Self { min: 0, max: u64::MAX };

    /// Exactly that.
    pub const fn fixed(number: u64) -> Self {
        Self { min: number, max: number }
    }

    /// Both.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self { min: self.min.saturating_add(other.min), max: self.max.saturating_add(other.max) }
    }

    /// One for each of the other.
    #[must_use]
    pub const fn times(self, other: Self) -> Self {
        Self { min: self.min.saturating_mul(other.min), max: self.max.saturating_mul(other.max) }
    }

    /// Either.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }

    /// So much for each, rounded up.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        Self { min: scaled(self.min, factor), max: scaled(self.max, factor) }
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "as upstream computes it; casts of floats stop at the largest number"
)]
fn scaled(number: u64, factor: f64) -> u64 {
    let float = number as f64;
    if factor > 0.0 && float > u64::MAX as f64 / factor { u64::MAX } else { (float * factor).ceil() as u64 }
}
