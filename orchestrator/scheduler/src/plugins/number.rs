//! Whole numbers and fractions: scores are computed as upstream does, with floating point.

/// A whole number as a fraction.
#[expect(clippy::cast_precision_loss, reason = "scores need no more than 53 bits")]
pub(crate) fn float(number: i64) -> f64 {
    number as f64
}

/// The whole part.
#[expect(clippy::cast_possible_truncation, reason = "the cast saturates, and cutting off is what is wanted")]
pub(crate) fn whole(number: f64) -> i64 {
    number as i64
}
