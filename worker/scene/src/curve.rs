//! The value of a curve at an instant.
//!
//! Only additions, multiplications and divisions of f64, which IEEE 754 defines to the last bit: the same everywhere.

use composition::{Curve, Easing, Keyframe, Ticks};

/// Halvings of the interval in which a Bézier's parameter is sought; after these it is known to 2⁻⁵³.
const HALVINGS: u32 = 53;

/// The value at `instant`. Written values become numbers by `number` before one between two of them is found, so that
/// lengths of both units may follow each other. A Bézier may overshoot: whoever has a range clamps.
pub(crate) fn value_at<T: Copy>(curve: &Curve<T>, instant: Ticks, number: impl Fn(T) -> f64) -> f64 {
    let keyframes = match curve {
        Curve::Constant(value) => return number(*value),
        Curve::Keyframes(keyframes) => keyframes.as_slice(),
    };
    let begun = keyframes.partition_point(|keyframe| keyframe.time <= instant);
    let from = keyframes[begun.saturating_sub(1)];
    let start = number(from.value);
    match keyframes.get(begun).filter(|_| begun > 0) {
        Some(to) => {
            let share = (instant - from.time).0 as f64 / (to.time - from.time).0 as f64;
            start + (number(to.value) - start) * progress(from.easing, share)
        }
        None => start,
    }
}

/// The keyframes of a curve that has some.
pub(crate) fn keyframes_of<T>(curve: &Curve<T>) -> &[Keyframe<T>] {
    match curve {
        Curve::Constant(_) => &[],
        Curve::Keyframes(keyframes) => keyframes.as_slice(),
    }
}

/// How far the value has come where `share` (0–1, never 1) of the time is over.
fn progress(easing: Easing, share: f64) -> f64 {
    match easing {
        Easing::Linear => share,
        Easing::Hold => 0.0,
        // At the keyframe itself the value is exactly its own.
        Easing::Bezier { .. } if share == 0.0 => 0.0,
        Easing::Bezier { x1, y1, x2, y2 } => bezier(y1, y2, parameter_at(x1, x2, share)),
    }
}

/// One coordinate of a cubic Bézier from 0 to 1 with control points at `first` and `second`.
fn bezier(first: f64, second: f64, parameter: f64) -> f64 {
    let (t, rest) = (parameter, 1.0 - parameter);
    3.0 * rest * rest * t * first + 3.0 * rest * t * t * second + t * t * t
}

/// The parameter where the curve has come to `x`. With both control points in 0…1 it never goes back, so halving finds the
/// place; Newton's steps would stray where the curve is upright.
fn parameter_at(x1: f64, x2: f64, x: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..HALVINGS {
        let middle = (low + high) / 2.0;
        if bezier(x1, x2, middle) < x {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low + high) / 2.0
}

#[cfg(test)]
mod tests {
    use composition::{Keyframes, Length};

    use super::*;
    use crate::sample::{course, seconds};

    fn at(curve: &Curve<f64>, time: f64) -> f64 {
        value_at(curve, seconds(time), |value| value)
    }

    #[test]
    fn a_value_runs_evenly_from_keyframe_to_keyframe_and_holds_before_and_after() {
        let curve = course(&[(1.0, 10.0), (3.0, 20.0), (4.0, -20.0)], Easing::Linear);
        let table = [
            (0.0, 10.0),
            (1.0, 10.0),
            (1.5, 12.5),
            (2.0, 15.0),
            (3.0, 20.0),
            (3.5, 0.0),
            (4.0, -20.0),
            (9.0, -20.0),
        ];
        for (time, value) in table {
            assert_eq!(at(&curve, time), value, "at {time} s");
        }
    }

    #[test]
    fn a_held_value_jumps_at_the_next_keyframe() {
        let curve = course(&[(1.0, 10.0), (2.0, 20.0)], Easing::Hold);
        assert_eq!(at(&curve, 1.999), 10.0, "just before");
        assert_eq!(at(&curve, 2.0), 20.0, "there");
    }

    #[test]
    fn at_a_keyframe_the_value_is_exactly_its_own() {
        let steep = Easing::Bezier { x1: 0.0, y1: 1.0, x2: 0.0, y2: 1.0 };
        for easing in [Easing::Linear, Easing::EASE_OUT, steep] {
            let curve = course(&[(1.0, 0.0), (2.0, 0.7), (3.0, 0.1)], easing);
            assert_eq!([1.0, 2.0, 3.0].map(|time| at(&curve, time)), [0.0, 0.7, 0.1], "{easing:?}");
        }
    }

    #[test]
    fn one_keyframe_is_a_constant() {
        let curve = course(&[(1.0, 10.0)], Easing::EASE_IN);
        assert_eq!([0.0, 1.0, 5.0].map(|time| at(&curve, time)), [10.0; 3]);
    }

    /// Points of the curve itself, found by going along its parameter with the definition's Bernstein polynomials.
    #[test]
    fn easings_go_through_the_points_of_the_css_curves() {
        let ease = Easing::Bezier { x1: 0.25, y1: 0.1, x2: 0.25, y2: 1.0 };
        for easing in [ease, Easing::EASE_IN, Easing::EASE_OUT, Easing::EASE_IN_OUT] {
            let Easing::Bezier { x1, y1, x2, y2 } = easing else { panic!("{easing:?} is a Bézier") };
            for step in 1..20 {
                let t = f64::from(step) / 20.0;
                let point = |a: f64, b: f64| {
                    3.0 * (1.0 - t) * (1.0 - t) * t * a + 3.0 * (1.0 - t) * t * t * b + t.powi(3)
                };
                let (x, y) = (point(x1, x2), point(y1, y2));
                assert!((progress(easing, x) - y).abs() < 1e-9, "{easing:?} at {x}");
            }
        }
    }

    #[test]
    fn easings_have_the_values_that_browsers_compute() {
        let ease = Easing::Bezier { x1: 0.25, y1: 0.1, x2: 0.25, y2: 1.0 };
        let table = [
            (ease, 0.25, 0.408_511),
            (ease, 0.5, 0.802_403),
            (ease, 0.75, 0.960_459),
            (Easing::EASE_IN, 0.25, 0.093_465),
            (Easing::EASE_IN, 0.5, 0.315_357),
            (Easing::EASE_IN, 0.75, 0.621_862),
            (Easing::EASE_OUT, 0.25, 0.378_138),
            (Easing::EASE_OUT, 0.5, 0.684_643),
            (Easing::EASE_OUT, 0.75, 0.906_535),
            (Easing::EASE_IN_OUT, 0.25, 0.129_162),
            (Easing::EASE_IN_OUT, 0.5, 0.5),
            (Easing::EASE_IN_OUT, 0.75, 0.870_838),
        ];
        for (easing, share, expected) in table {
            let value = progress(easing, share);
            assert!((value - expected).abs() < 1e-6, "{easing:?} at {share}: {value}, not {expected}");
        }
    }

    #[test]
    fn a_curve_that_stands_upright_or_lies_flat_is_solved_too() {
        let steps = Easing::Bezier { x1: 1.0, y1: 0.0, x2: 0.0, y2: 1.0 };
        assert!((progress(steps, 0.5) - 0.5).abs() < 1e-4, "upright in the middle");
        assert!(progress(steps, 0.49) < 0.4 && progress(steps, 0.51) > 0.6, "and steep around it");
        let even = Easing::Bezier { x1: 0.0, y1: 0.0, x2: 1.0, y2: 1.0 };
        assert!((progress(even, 0.3) - 0.3).abs() < 1e-12, "the diagonal");
    }

    #[test]
    fn lengths_of_both_units_follow_each_other() {
        let keyframe = |time, value| Keyframe { time: seconds(time), value, easing: Easing::Linear };
        let keyframes = vec![
            keyframe(0.0, Length::Percent(0.0)),
            keyframe(1.0, Length::Pixels(640.0)),
            keyframe(2.0, Length::Percent(100.0)),
        ];
        let curve = Curve::Keyframes(Keyframes::new(keyframes).expect("rising times"));
        let pixels = |time| value_at(&curve, seconds(time), |length| length.resolve(1280.0));
        assert_eq!([0.0, 0.5, 1.5, 2.0].map(pixels), [0.0, 320.0, 960.0, 1280.0]);
    }
}
