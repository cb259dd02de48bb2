//! Single values: from JSON to exact types, in range or with a code that says why not.

use serde_json::Value;

use super::ParseOptions;
use super::report::quoted;
use crate::color::Color;
use crate::element::SourceUrl;
use crate::keyframe::Easing;
use crate::length::Length;
use crate::problem::ProblemCode;
use crate::schema::kind::{Kind, Range, URL_CHARS_MAX};
use crate::time::{FrameRate, Ticks};

/// Integers beyond ±(2^53 − 1) do not survive every JSON implementation (RFC 8259, 6).
const INTEGER_MAX: i64 = 9_007_199_254_740_991;

/// Characters of a file name.
const FILENAME_CHARS_MAX: usize = 200;

/// A value of one field.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar {
    Number(f64),
    Ticks(Ticks),
    Integer(i64),
    Flag(bool),
    Text(String),
    Word(&'static str),
    Color(Color),
    Length(Length),
    FrameRate(FrameRate),
    /// Microseconds since 1970, UTC.
    Instant(i64),
    Easing(Easing),
    /// An easing that this version does not carry out.
    Spring,
}

impl Scalar {
    /// Whether both mean the same; no pixels are no percent.
    pub(super) fn means(&self, other: &Scalar) -> bool {
        let is_zero = |scalar: &Scalar| matches!(scalar, Scalar::Length(Length::Pixels(n) | Length::Percent(n)) if *n == 0.0);
        self == other || (is_zero(self) && is_zero(other))
    }
}

/// Reads one value of a kind that is neither list nor object.
pub(super) fn read(kind: Kind, value: &Value, options: &ParseOptions) -> Result<Scalar, ProblemCode> {
    let number = |range| in_range(value, range, options);
    Ok(match kind {
        Kind::Number(range) => Scalar::Number(number(range)?),
        Kind::Seconds(range) => Scalar::Ticks(ticks(number(range)?)),
        Kind::Integer(range) => Scalar::Integer(integer(value, range)?),
        Kind::Boolean => Scalar::Flag(value.as_bool().ok_or(ProblemCode::WrongType)?),
        Kind::Text(min) => Scalar::Text(text(value, min)?),
        Kind::Filename => Scalar::Text(filename(value)?),
        Kind::Choice(choices) => Scalar::Word(choices.find(string(value)?).ok_or(ProblemCode::UnknownValue)?),
        Kind::Color => Scalar::Color(Color::parse(string(value)?).ok_or(ProblemCode::MalformedValue)?),
        Kind::Url => Scalar::Text(source_url(string(value)?, options)?),
        Kind::Endpoint => Scalar::Text(endpoint(string(value)?)?),
        Kind::Length(range) => Scalar::Length(length(value, range, options)?),
        Kind::Angle(range) => Scalar::Number(angle(value, range, options)?),
        Kind::Scale => Scalar::Number(bounded(with_unit(value, &["%", ""])?.0, Range::ANY, options)? / 100.0),
        Kind::FrameRate => Scalar::FrameRate(frame_rate(value)?),
        Kind::Instant => {
            let instant = events::Timestamp::parse(string(value)?).ok_or(ProblemCode::MalformedValue)?;
            Scalar::Instant(instant.0)
        }
        Kind::Easing => easing(string(value)?, options)?,
        Kind::Animated
        | Kind::Metadata
        | Kind::Strings(_)
        | Kind::Elements
        | Kind::List(_)
        | Kind::Object(_) => {
            return Err(ProblemCode::WrongType);
        }
    })
}

/// What was given, in few words, without a URL's secrets.
pub(super) fn shown(kind: Kind, value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) if matches!(kind, Kind::Url | Kind::Endpoint) => {
            quoted(&SourceUrl(text.clone()).redacted())
        }
        Value::String(text) => quoted(text),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

fn string(value: &Value) -> Result<&str, ProblemCode> {
    value.as_str().ok_or(ProblemCode::WrongType)
}

fn in_range(value: &Value, range: Range, options: &ParseOptions) -> Result<f64, ProblemCode> {
    match value {
        Value::Number(number) => bounded(number.as_f64().ok_or(ProblemCode::OutOfRange)?, range, options),
        _ => Err(ProblemCode::WrongType),
    }
}

/// `number`, where the field's range and the installation's limit take it.
fn bounded(number: f64, range: Range, options: &ParseOptions) -> Result<f64, ProblemCode> {
    if !range.contains(number) {
        Err(ProblemCode::OutOfRange)
    } else if number.abs() > options.limits.magnitude_max {
        Err(ProblemCode::LimitExceeded)
    } else {
        // Negative zero is zero: equal documents have equal bytes.
        Ok(number + 0.0)
    }
}

/// The tick nearest to `seconds`; what is above zero stays above zero.
fn ticks(seconds: f64) -> Ticks {
    let nearest = Ticks::from_seconds(seconds);
    if seconds > 0.0 { nearest.max(Ticks(1)) } else { nearest }
}

fn integer(value: &Value, range: Range) -> Result<i64, ProblemCode> {
    let Value::Number(number) = value else { return Err(ProblemCode::WrongType) };
    let float = number.as_f64().ok_or(ProblemCode::OutOfRange)?;
    if float.fract() != 0.0 {
        return Err(ProblemCode::WrongType);
    }
    // 30.0 is a whole number too, and the cast saturates.
    let whole = number.as_i64().unwrap_or(float as i64);
    let in_range = range.contains(whole as f64) && (-INTEGER_MAX..=INTEGER_MAX).contains(&whole);
    if in_range { Ok(whole) } else { Err(ProblemCode::OutOfRange) }
}

fn text(value: &Value, min_chars: usize) -> Result<String, ProblemCode> {
    let text = string(value)?;
    if text.chars().take(min_chars).count() < min_chars {
        return Err(ProblemCode::OutOfRange);
    }
    Ok(text.to_owned())
}

fn filename(value: &Value) -> Result<String, ProblemCode> {
    let name = string(value)?;
    let length = name.chars().take(FILENAME_CHARS_MAX + 1).count();
    if !(1..=FILENAME_CHARS_MAX).contains(&length) {
        return Err(ProblemCode::OutOfRange);
    }
    // A dot is part of many a name; the extensions we would add ourselves are not.
    let lower = name.to_ascii_lowercase();
    let extended = crate::catalog::format::FORMATS.iter().any(|f| lower.ends_with(&format!(".{}", f.name)));
    let is_folder = matches!(name, "." | "..") || name.contains(['/', '\\']);
    if extended || is_folder || name.chars().any(char::is_control) {
        return Err(ProblemCode::MalformedValue);
    }
    Ok(name.to_owned())
}

/// An address of media. A scheme other than http and https is a fault of the job (`source_forbidden`), not of the
/// document: here it only has to be a URL.
fn source_url(text: &str, options: &ParseOptions) -> Result<String, ProblemCode> {
    let length = text.chars().take(URL_CHARS_MAX + 1).count();
    if !(1..=URL_CHARS_MAX).contains(&length) {
        return Err(ProblemCode::OutOfRange);
    }
    if text.chars().any(char::is_control) {
        return Err(ProblemCode::MalformedValue);
    }
    let is_url = text.contains("://") && url::Url::parse(text).is_ok();
    let is_path = options.local_files && !text.contains("://");
    if is_url || is_path { Ok(text.to_owned()) } else { Err(ProblemCode::MalformedValue) }
}

fn endpoint(text: &str) -> Result<String, ProblemCode> {
    let text = source_url(text, &ParseOptions::default())?;
    let is_http = url::Url::parse(&text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    if is_http { Ok(text) } else { Err(ProblemCode::MalformedValue) }
}

/// A number, or a string of a number and one of `units`; the number and the unit's place in the list. The last unit
/// is that of a bare number.
fn with_unit(value: &Value, units: &[&str]) -> Result<(f64, usize), ProblemCode> {
    let bare = units.len() - 1;
    match value {
        Value::Number(number) => Ok((number.as_f64().ok_or(ProblemCode::OutOfRange)?, bare)),
        Value::String(text) => {
            let text = text.trim();
            units
                .iter()
                .enumerate()
                .find_map(|(at, unit)| Some((decimal(text.strip_suffix(unit)?)?, at)))
                .ok_or(ProblemCode::MalformedValue)
        }
        _ => Err(ProblemCode::WrongType),
    }
}

/// A decimal number; Rust would also read `inf` and `nan`.
fn decimal(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E'));
    text.parse().ok().filter(|number: &f64| plain && number.is_finite())
}

fn length(value: &Value, range: Range, options: &ParseOptions) -> Result<Length, ProblemCode> {
    let (number, unit) = with_unit(value, &["%", "px", ""])?;
    let number = bounded(number, range, options)?;
    Ok(if unit == 0 { Length::Percent(number) } else { Length::Pixels(number) })
}

/// In degrees.
fn angle(value: &Value, range: Range, options: &ParseOptions) -> Result<f64, ProblemCode> {
    let (number, unit) = with_unit(value, &["rad", "deg", "°", ""])?;
    let degrees = if unit == 0 { number * (180.0 / std::f64::consts::PI) } else { number };
    bounded(degrees, range, options)
}

/// Rates that people write as decimals: n·1000/1001, to the digits they write.
const NTSC: [(f64, u32); 3] = [(23.976, 24_000), (29.97, 30_000), (59.94, 60_000)];

fn frame_rate(value: &Value) -> Result<FrameRate, ProblemCode> {
    let (numerator, denominator) = match value {
        Value::Number(number) => {
            let rate = number.as_f64().ok_or(ProblemCode::OutOfRange)?;
            let ntsc = NTSC.iter().find(|(decimal, _)| (rate - decimal).abs() < 1e-4);
            match ntsc {
                Some((_, numerator)) => (*numerator, 1001),
                None if !Range::of(1.0, 240.0).contains(rate) => return Err(ProblemCode::OutOfRange),
                None if rate.fract() != 0.0 => return Err(ProblemCode::MalformedValue),
                None => (rate as u32, 1),
            }
        }
        Value::String(text) => {
            let (numerator, denominator) = text.split_once('/').ok_or(ProblemCode::MalformedValue)?;
            let whole = |part: &str| {
                let digits = part.bytes().all(|b| b.is_ascii_digit());
                part.parse::<u32>().ok().filter(|n| digits && (1..=1_000_000).contains(n))
            };
            let parts = whole(numerator).zip(whole(denominator));
            let (numerator, denominator) = parts.ok_or(ProblemCode::MalformedValue)?;
            let divisor = greatest_common_divisor(numerator, denominator);
            (numerator / divisor, denominator / divisor)
        }
        _ => return Err(ProblemCode::WrongType),
    };
    FrameRate::new(numerator, denominator)
        .filter(|rate| Range::of(1.0, 240.0).contains(rate.as_f64()))
        .ok_or(ProblemCode::OutOfRange)
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// A keyframe's easing: a name, `cubic-bezier(x1,y1,x2,y2)` with x in 0…1 (CSS Easing 1, 2.3), or `spring(…)`.
fn easing(text: &str, options: &ParseOptions) -> Result<Scalar, ProblemCode> {
    let (name, arguments) = match text.split_once('(') {
        None => (text, None),
        Some((name, rest)) => {
            let inside = rest.strip_suffix(')').ok_or(ProblemCode::MalformedValue)?.trim();
            let parts = inside.split(',').filter(|_| !inside.is_empty());
            let numbers: Option<Vec<_>> = parts.map(|part| decimal(part.trim())).collect();
            (name.trim_end(), Some(numbers.ok_or(ProblemCode::MalformedValue)?))
        }
    };
    Ok(Scalar::Easing(match (name, arguments.as_deref()) {
        ("linear", None) => Easing::Linear,
        ("ease_in", None) => Easing::EASE_IN,
        ("ease_out", None) => Easing::EASE_OUT,
        ("ease_in_out", None) => Easing::EASE_IN_OUT,
        ("hold", None) => Easing::Hold,
        ("cubic-bezier", Some(&[x1, y1, x2, y2])) => {
            if ![x1, x2].iter().all(|x| (0.0..=1.0).contains(x)) {
                return Err(ProblemCode::MalformedValue);
            }
            let number = |number| bounded(number, Range::ANY, options);
            Easing::Bezier { x1: number(x1)?, y1: number(y1)?, x2: number(x2)?, y2: number(y2)? }
        }
        ("spring", Some(_)) => return Ok(Scalar::Spring),
        _ => return Err(ProblemCode::MalformedValue),
    }))
}
