//! Kinds of value: what a field may hold, and how messages put it into words.

use super::Schema;
use crate::catalog::Choices;

/// Characters in a URL.
pub const URL_CHARS_MAX: usize = 2083;

/// What a field may hold.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A number.
    Number(Range),
    /// A number of seconds.
    Seconds(Range),
    /// A whole number.
    Integer(Range),
    /// `true` or `false`.
    Boolean,
    /// A string of at least so many characters.
    Text(usize),
    /// A file name without extension and without folders.
    Filename,
    /// One word of a list.
    Choice(&'static Choices),
    /// `#RRGGBB` or `#RRGGBBAA`.
    Color,
    /// The address of media.
    Url,
    /// The address of an endpoint that receives webhooks: http or https.
    Endpoint,
    /// Canvas pixels or a share of an axis.
    Length(Range),
    /// Degrees or radians.
    Angle(Range),
    /// Percent of the own size.
    Scale,
    /// Frames a second, exact.
    FrameRate,
    /// An instant of the calendar, ISO 8601 with a zone.
    Instant,
    /// An easing by name or formula.
    Easing,
    /// A value of the field that keyframes animate.
    Animated,
    /// A map of strings to strings.
    Metadata,
    /// A list of at most so many strings.
    Strings(usize),
    /// A list of elements.
    Elements,
    /// A list of objects.
    List(&'static Schema),
    /// An object.
    Object(&'static Schema),
}

/// The numbers a field takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// None smaller than this.
    pub min: Option<f64>,
    /// None greater than this.
    pub max: Option<f64>,
    /// Whether `min` itself is excluded.
    pub above_min: bool,
}

impl Range {
    /// Every number.
    pub const ANY: Range = Range { min: None, max: None, above_min: false };

    /// From `min` to `max`, both included.
    #[must_use]
    pub const fn of(min: f64, max: f64) -> Range {
        Range { min: Some(min), max: Some(max), above_min: false }
    }

    /// `min` and more.
    #[must_use]
    pub const fn from(min: f64) -> Range {
        Range { min: Some(min), max: None, above_min: false }
    }

    /// More than `min`.
    #[must_use]
    pub const fn above(min: f64) -> Range {
        Range { min: Some(min), max: None, above_min: true }
    }

    /// Whether it takes `value`.
    #[must_use]
    pub fn contains(self, value: f64) -> bool {
        let high_enough = self.min.is_none_or(|min| if self.above_min { value > min } else { value >= min });
        high_enough && self.max.is_none_or(|max| value <= max)
    }

    /// ` from 0 to 100`, ` above 0`, or nothing.
    fn words(self) -> String {
        match (self.min, self.max) {
            (Some(min), Some(max)) => format!(" from {min} to {max}"),
            (Some(min), None) if self.above_min => format!(" above {min}"),
            (Some(min), None) => format!(" of {min} or more"),
            (None, Some(max)) => format!(" of at most {max}"),
            (None, None) => String::new(),
        }
    }
}

/// How many words of a list a message spells out; longer lists are in `GET /v1/capabilities`.
const WORDS_SHOWN: usize = 12;

impl Kind {
    /// What it takes, in words that finish "expected …".
    #[must_use]
    pub fn expectation(self) -> String {
        match self {
            Kind::Number(range) => format!("a number{}", range.words()),
            Kind::Seconds(range) => format!("a number of seconds{}", range.words()),
            Kind::Integer(range) => format!("a whole number{}", range.words()),
            Kind::Boolean => "true or false".to_owned(),
            Kind::Text(0) => "a string".to_owned(),
            Kind::Text(min) => {
                format!("a string of at least {min} character{}", if min == 1 { "" } else { "s" })
            }
            Kind::Filename => {
                "a file name of 1 to 200 characters without extension, folders or control characters"
                    .to_owned()
            }
            Kind::Choice(choices) => one_of(choices.words),
            Kind::Color => "a colour: #RRGGBB or #RRGGBBAA".to_owned(),
            Kind::Url => format!("an absolute URL (https://…) of 1 to {URL_CHARS_MAX} characters"),
            Kind::Endpoint => format!("an http or https URL of 1 to {URL_CHARS_MAX} characters"),
            Kind::Length(range) => {
                format!("a length{}: canvas pixels as 12 or \"12px\", or \"50%\" of the axis", range.words())
            }
            Kind::Angle(range) => {
                format!("an angle{}: degrees as 45, \"45deg\" or \"45°\", or \"1.5rad\"", range.words())
            }
            Kind::Scale => "a scale: percent as 100 or \"100%\"".to_owned(),
            Kind::FrameRate => {
                "a whole number from 1 to 240, or 23.976, 29.97 or 59.94, or a fraction as \"30000/1001\""
                    .to_owned()
            }
            Kind::Instant => "an ISO 8601 instant with a zone, as \"2030-01-31T12:00:00Z\"".to_owned(),
            Kind::Easing => {
                "linear, ease_in, ease_out, ease_in_out, hold, cubic-bezier(x1,y1,x2,y2) with x1 and x2 from 0 to 1, \
                 or spring(…)"
                    .to_owned()
            }
            Kind::Animated => "a value of the animated field".to_owned(),
            Kind::Metadata => "an object whose values are strings".to_owned(),
            Kind::Strings(max) => format!("a list of at most {max} strings"),
            Kind::Elements => "a list of elements".to_owned(),
            Kind::List(schema) => format!("a list of {}s", schema.name),
            Kind::Object(schema) => format!("an object: {}", schema.name),
        }
    }

    /// The contract's name for it: `number`, `enum:blend_mode`, `Effect[]`.
    #[must_use]
    pub fn wire_type(self) -> String {
        match self {
            Kind::Number(_) | Kind::Seconds(_) => "number".to_owned(),
            Kind::Integer(_) => "integer".to_owned(),
            Kind::Boolean => "boolean".to_owned(),
            Kind::Text(_) | Kind::Filename => "string".to_owned(),
            Kind::Choice(choices) => format!("enum:{}", choices.name),
            Kind::Color => "hex".to_owned(),
            Kind::Url | Kind::Endpoint => "url".to_owned(),
            Kind::Length(_) => "length".to_owned(),
            Kind::Angle(_) => "angle".to_owned(),
            Kind::Scale => "scale".to_owned(),
            Kind::FrameRate => "frame_rate".to_owned(),
            Kind::Instant => "instant".to_owned(),
            Kind::Easing => "easing".to_owned(),
            Kind::Animated => "value".to_owned(),
            Kind::Metadata => "map<string,string>".to_owned(),
            Kind::Strings(_) => "string[]".to_owned(),
            Kind::Elements => "element[]".to_owned(),
            Kind::List(schema) => format!("{}[]", schema.name),
            Kind::Object(schema) => schema.name.to_owned(),
        }
    }

    /// The numbers it takes, where it takes numbers.
    #[must_use]
    pub fn range(self) -> Range {
        match self {
            Kind::Number(range)
            | Kind::Seconds(range)
            | Kind::Integer(range)
            | Kind::Length(range)
            | Kind::Angle(range) => range,
            Kind::FrameRate => Range::of(1.0, 240.0),
            _ => Range::ANY,
        }
    }
}

/// `one of "a", "b" and "c"`; of a long list only the number.
pub(crate) fn one_of(words: &[&str]) -> String {
    let quoted =
        |words: &[&str]| words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
    if words.len() <= WORDS_SHOWN {
        format!("one of {}", quoted(words))
    } else {
        format!("one of the {} that GET /v1/capabilities lists: {}, …", words.len(), quoted(&words[..3]))
    }
}
