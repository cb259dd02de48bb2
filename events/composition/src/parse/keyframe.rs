//! Keyframes in a value's place.

use serde_json::Value;

use super::reader::Reader;
use super::report::{Report, step};
use super::scalar::Scalar;
use crate::keyframe::{Keyframe, Keyframes};
use crate::problem::ProblemCode;
use crate::schema::animation::{KEYFRAME, KEYFRAMES};
use crate::schema::{Field, Support};
use crate::time::Ticks;

/// Whether keyframes are given for a field that has them in the contract.
pub(super) fn given_for(field: &Field, value: &Value) -> bool {
    field.keyframes.is_some() && value.get("keyframes").is_some()
}

/// Reads `{"keyframes": […]}` given for `field`. `None`: something is wrong with them, which is noted.
pub(super) fn read(
    field: &Field,
    value: &Value,
    path: String,
    report: &mut Report<'_>,
) -> Option<Keyframes<Scalar>> {
    let carried_out = field.keyframes == Some(Support::Full);
    if !carried_out {
        let name = field.name;
        report.unsupported(
            &path,
            format!("keyframes for {name} are not available in this version; give one value"),
        );
    }
    let mut reader = Reader::open(&KEYFRAMES, value, path, report)?;
    if !carried_out {
        reader.mute();
    }
    let entries = reader.entries("keyframes");
    if entries.is_empty() && reader.given("keyframes").is_some_and(Value::is_array) {
        let message = format!("keyframes of {} is empty; expected at least one keyframe", field.name);
        reader.problem("keyframes", ProblemCode::OutOfRange, message);
    }
    let (mut keyframes, mut latest) = (Vec::with_capacity(entries.len()), None);
    for (path, value) in entries {
        keyframes.push(entry(field, value, path, &mut latest, reader.report));
    }
    reader.finish();
    Keyframes::new(keyframes.into_iter().collect::<Option<_>>()?)
}

/// Reads one keyframe; its time must be later than `latest`.
fn entry(
    field: &Field,
    value: &Value,
    path: String,
    latest: &mut Option<Ticks>,
    report: &mut Report<'_>,
) -> Option<Keyframe<Scalar>> {
    let mut keyframe = Reader::open(&KEYFRAME, value, path, report)?;
    let time: Option<Ticks> = keyframe.optional("time");
    if let (Some(time), Some(before)) = (time, *latest)
        && time <= before
    {
        let (time, before) = (time.seconds(), before.seconds());
        let message = format!("time is {time}; expected more than that of the keyframe before ({before})");
        let path = step(&keyframe.path, "time");
        keyframe.report.problem(&path, ProblemCode::ConflictingFields, message);
    }
    *latest = time.max(*latest);
    let value = keyframe.animated("value", field);
    let easing = keyframe.defaulted("easing");
    keyframe.finish();
    Some(Keyframe { time: time?, value: value?, easing })
}
