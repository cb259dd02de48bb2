//! The pose of an element: how it lies on the canvas, as far as that may change over time.

use std::ops::Range;

use composition::{Length, Size, Ticks, Visual};

use crate::curve::{keyframes_of, value_at};

/// How an element lies at one instant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pose {
    /// Where the anchor lies, canvas pixels.
    pub(crate) x: f64,
    /// See `x`.
    pub(crate) y: f64,
    /// 1 is the box's own size.
    pub(crate) x_scale: f64,
    /// See `x_scale`.
    pub(crate) y_scale: f64,
    /// Clockwise, degrees.
    pub(crate) z_rotation: f64,
}

impl Pose {
    /// The pose at an instant of the film.
    pub(crate) fn at(visual: &Visual, canvas: Size, instant: Ticks) -> Pose {
        let across = |length: Length| length.resolve(f64::from(canvas.width));
        let down = |length: Length| length.resolve(f64::from(canvas.height));
        let same = |number: f64| number;
        Pose {
            x: value_at(&visual.x, instant, across),
            y: value_at(&visual.y, instant, down),
            x_scale: value_at(&visual.x_scale, instant, same),
            y_scale: value_at(&visual.y_scale, instant, same),
            z_rotation: value_at(&visual.z_rotation, instant, same),
        }
    }

    /// The pose in which text is drawn that is seen during `seen` and moves: as it lies where it rests longest, so that
    /// it is sharpest while it is read, but as large as it becomes, and upright if it turns.
    pub(crate) fn to_draw_in(visual: &Visual, canvas: Size, seen: &Range<Ticks>) -> Pose {
        let stretches = stretches(visual, canvas, seen);
        let rests = stretches.iter().filter(|stretch| stretch.first == stretch.last);
        let longest = rests.max_by_key(|stretch| stretch.length);
        let pose = longest.map_or_else(|| Pose::at(visual, canvas, seen.start), |stretch| stretch.first);
        let largest = |scale: fn(&Pose) -> f64| {
            let poses = stretches.iter().flat_map(|stretch| [stretch.first, stretch.last]);
            poses.map(|pose| scale(&pose).abs()).fold(0.0, f64::max)
        };
        let still = |curve: &composition::Curve<f64>| curve.constant().copied();
        Pose {
            x_scale: still(&visual.x_scale).unwrap_or_else(|| largest(|pose| pose.x_scale)),
            y_scale: still(&visual.y_scale).unwrap_or_else(|| largest(|pose| pose.y_scale)),
            z_rotation: still(&visual.z_rotation).unwrap_or(0.0),
            ..pose
        }
    }
}

/// Whether the pose is the same at every instant.
pub(crate) fn is_still(visual: &Visual) -> bool {
    let turns_and_scales = [&visual.x_scale, &visual.y_scale, &visual.z_rotation];
    let places = [&visual.x, &visual.y];
    places.iter().all(|curve| curve.constant().is_some())
        && turns_and_scales.iter().all(|curve| curve.constant().is_some())
}

/// 0–1 at an instant of the film.
pub(crate) fn opacity_at(visual: &Visual, instant: Ticks) -> f64 {
    value_at(&visual.opacity, instant, |opacity| opacity).clamp(0.0, 1.0)
}

/// The time from one keyframe of the pose to the next.
struct Stretch {
    first: Pose,
    /// Just before the next keyframe: a held value has not yet jumped.
    last: Pose,
    length: Ticks,
}

/// All stretches of `seen`, in order.
fn stretches(visual: &Visual, canvas: Size, seen: &Range<Ticks>) -> Vec<Stretch> {
    let places = [&visual.x, &visual.y].into_iter().flat_map(keyframes_of).map(|keyframe| keyframe.time);
    let others = [&visual.x_scale, &visual.y_scale, &visual.z_rotation].into_iter().flat_map(keyframes_of);
    let times = places.chain(others.map(|keyframe| keyframe.time));
    let mut starts: Vec<Ticks> = times.filter(|time| seen.contains(time)).chain([seen.start]).collect();
    starts.sort_unstable();
    starts.dedup();
    let ends = starts.iter().skip(1).chain([&seen.end]);
    let stretch = |(start, end): (&Ticks, &Ticks)| Stretch {
        first: Pose::at(visual, canvas, *start),
        last: Pose::at(visual, canvas, *end - Ticks(1)),
        length: *end - *start,
    };
    starts.iter().zip(ends).map(stretch).collect()
}
