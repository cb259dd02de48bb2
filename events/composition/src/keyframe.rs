//! Values that may change over time: a constant, or keyframes with easings between them.
//!
//! Keyframe times are on the composition's own time line, as those of motions and captions are: second 3 of the film is
//! second 3 of every curve, whenever its element starts. Moving an element in time does not move its keyframes.

use serde::{Deserialize, Serialize};

use crate::time::Ticks;

/// A value, or a course of values over time.
///
/// Stored as the bare value or as the list of keyframes, so that a document without keyframes reads as it always did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Curve<T> {
    /// The same at every instant.
    Constant(T),
    /// Before the first and after the last the value holds.
    Keyframes(Keyframes<T>),
}

/// At least one keyframe; times rise strictly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Keyframe<T>>")]
pub struct Keyframes<T>(Vec<Keyframe<T>>);

/// A value at an instant, and the way to the next one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Keyframe<T> {
    /// On the composition's own time line.
    pub time: Ticks,
    /// The value there.
    pub value: T,
    /// How the value moves from here to the next keyframe.
    pub easing: Easing,
}

/// How a value moves between two keyframes: progress in time (0–1) to progress in value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Easing {
    /// Evenly.
    Linear,
    /// A cubic Bézier from (0, 0) to (1, 1) with these two control points, as CSS Easing 1, 2.2 defines it.
    Bezier {
        /// 0–1.
        x1: f64,
        /// Any: beyond 0–1 the value overshoots.
        y1: f64,
        /// 0–1.
        x2: f64,
        /// Any: beyond 0–1 the value overshoots.
        y2: f64,
    },
    /// Not at all, until the next keyframe.
    Hold,
}

impl Easing {
    /// `ease_in`: CSS Easing 1, 2.2.1.
    pub const EASE_IN: Easing = Easing::Bezier { x1: 0.42, y1: 0.0, x2: 1.0, y2: 1.0 };
    /// `ease_out`: CSS Easing 1, 2.2.1.
    pub const EASE_OUT: Easing = Easing::Bezier { x1: 0.0, y1: 0.0, x2: 0.58, y2: 1.0 };
    /// `ease_in_out`: CSS Easing 1, 2.2.1.
    pub const EASE_IN_OUT: Easing = Easing::Bezier { x1: 0.42, y1: 0.0, x2: 0.58, y2: 1.0 };
}

impl<T> Curve<T> {
    /// The constant, if it is one.
    #[must_use]
    pub fn constant(&self) -> Option<&T> {
        match self {
            Curve::Constant(value) => Some(value),
            Curve::Keyframes(_) => None,
        }
    }

    /// The same course of other values.
    #[must_use]
    pub fn map<U>(self, mut value: impl FnMut(T) -> U) -> Curve<U> {
        match self {
            Curve::Constant(constant) => Curve::Constant(value(constant)),
            Curve::Keyframes(keyframes) => Curve::Keyframes(keyframes.map(value)),
        }
    }
}

impl<T> From<T> for Curve<T> {
    fn from(value: T) -> Curve<T> {
        Curve::Constant(value)
    }
}

impl<T> Keyframes<T> {
    /// The keyframes as a course; `None` where there are none or a time is not later than the one before.
    #[must_use]
    pub fn new(keyframes: Vec<Keyframe<T>>) -> Option<Keyframes<T>> {
        let rising = keyframes.is_sorted_by(|earlier, later| earlier.time < later.time);
        (rising && !keyframes.is_empty()).then_some(Keyframes(keyframes))
    }

    /// In the order of their times; never empty.
    #[must_use]
    pub fn as_slice(&self) -> &[Keyframe<T>] {
        &self.0
    }

    /// The same course of other values.
    #[must_use]
    pub fn map<U>(self, mut value: impl FnMut(T) -> U) -> Keyframes<U> {
        let keyframes = self.0.into_iter();
        Keyframes(
            keyframes
                .map(|Keyframe { time, value: old, easing }| Keyframe { time, value: value(old), easing })
                .collect(),
        )
    }
}

impl<T> TryFrom<Vec<Keyframe<T>>> for Keyframes<T> {
    type Error = &'static str;

    fn try_from(keyframes: Vec<Keyframe<T>>) -> Result<Keyframes<T>, &'static str> {
        Keyframes::new(keyframes).ok_or("expected at least one keyframe, at strictly rising times")
    }
}
