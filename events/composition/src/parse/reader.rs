//! Reading one JSON object by its schema.
//!
//! The caller asks for the fields it builds with; each is checked as it is read, and [`Reader::finish`] checks those
//! nobody asked for and names those the contract does not know. Nobody has to remember to check.

use serde::de::{DeserializeOwned, IntoDeserializer as _, value::Error as WordError};
use serde_json::{Map, Value};

use super::keyframe;
use super::report::{Report, entry, quoted, step, step_shortened};
use super::scalar::{self, Scalar};
use crate::catalog::KEYFRAME_EASINGS;
use crate::color::Color;
use crate::keyframe::{Curve, Easing};
use crate::length::Length;
use crate::problem::ProblemCode;
use crate::schema::kind::one_of;
use crate::schema::{Field, Kind, Preset, Schema, Support};
use crate::time::{FrameRate, Ticks};
use crate::warning::WarningCode;

/// One object being read.
pub(super) struct Reader<'d, 'r, 'o> {
    pub(super) report: &'r mut Report<'o>,
    pub(super) path: String,
    schema: &'static Schema,
    object: &'d Map<String, Value>,
    read: Vec<&'static str>,
    muted: bool,
}

impl<'d, 'r, 'o> Reader<'d, 'r, 'o> {
    /// Opens `value`; anything but an object is a problem.
    pub(super) fn open(
        schema: &'static Schema,
        value: &'d Value,
        path: String,
        report: &'r mut Report<'o>,
    ) -> Option<Reader<'d, 'r, 'o>> {
        let Some(object) = value.as_object() else {
            let given = scalar::shown(Kind::Boolean, value);
            let message = format!("this is {given}; expected an object: {}", schema.name);
            report.problem(&path, ProblemCode::WrongType, message);
            return None;
        };
        Some(Reader { report, path, schema, object, read: Vec::new(), muted: false })
    }

    /// Checks the fields that nobody asked for and warns of those the contract does not know.
    pub(super) fn finish(mut self) {
        for field in self.schema.fields() {
            if !self.read.contains(&field.name) {
                self.check(field);
            }
        }
        let unknown = |name: &&String| self.schema.field(name).is_none();
        for name in self.object.keys().filter(unknown) {
            let near = self.report.hint(name, self.schema.fields().map(|field| field.name));
            let message =
                format!("{} is no field of {} and is ignored{near}", quoted(name), self.schema.name);
            self.report.warning(&step_shortened(&self.path, name), WarningCode::UnknownField, message);
        }
        if self.muted {
            self.report.unmute();
        }
    }

    /// From here on, what this version lacks goes without a note: the object as a whole is refused already.
    pub(super) fn mute(&mut self) {
        if !self.muted {
            self.muted = true;
            self.report.mute();
        }
    }

    /// The pointer of a field.
    pub(super) fn path_of(&self, name: &str) -> String {
        step(&self.path, name)
    }

    /// The field's value where the document gives one; `null` gives none.
    pub(super) fn given(&self, name: &str) -> Option<&'d Value> {
        self.object.get(name).filter(|value| !value.is_null())
    }

    /// Notes a problem of a field.
    pub(super) fn problem(&mut self, name: &str, code: ProblemCode, message: String) {
        let path = self.path_of(name);
        self.report.problem(&path, code, message);
    }

    /// The entries of a list, each with its pointer; the list itself must be carried out or empty.
    pub(super) fn entries(&mut self, name: &'static str) -> Vec<(String, &'d Value)> {
        let field = self.field(name);
        let path = self.path_of(name);
        let Some(value) = self.given(name) else {
            self.require(field);
            return Vec::new();
        };
        let Some(list) = value.as_array() else {
            self.refuse(field, value, ProblemCode::WrongType);
            return Vec::new();
        };
        if field.support == Support::Missing && !list.is_empty() {
            self.report
                .unsupported(&path, format!("{name} is not available in this version; leave it empty"));
        }
        let max = match field.kind {
            // Elements are counted over the whole document by whoever reads them.
            Kind::Elements => usize::MAX,
            _ => self.report.limits().list_entries_max,
        };
        if list.len() > max {
            let message = format!("{name} has {} entries; the limit list_entries_max is {max}", list.len());
            self.report.problem(&path, ProblemCode::LimitExceeded, message);
        }
        list.iter().take(max).enumerate().map(|(at, value)| (entry(&path, at), value)).collect()
    }

    /// The value, the default, or `None` where neither is any good.
    fn scalar(&mut self, name: &'static str) -> Option<Scalar> {
        let field = self.field(name);
        let default = default_of(field);
        let Some(value) = self.given(name) else {
            self.require(field);
            return default;
        };
        if keyframe::given_for(field, value) {
            // Whoever builds with the keyframes asks for the curve.
            let path = self.path_of(name);
            drop(keyframe::read(field, value, path, self.report));
            return default;
        }
        match scalar::read(field.kind, value, self.report.options) {
            Err(code) => self.refuse(field, value, code),
            Ok(scalar) if self.carried_out(field, &scalar, default.as_ref()) => return Some(scalar),
            Ok(_) => {}
        }
        default
    }

    /// Whether this version carries the value out; if not, that is noted.
    fn carried_out(&mut self, field: &Field, scalar: &Scalar, default: Option<&Scalar>) -> bool {
        if default.is_some_and(|default| scalar.means(default)) {
            return true;
        }
        let name = field.name;
        let lacking = match (field.support, field.kind, scalar) {
            (Support::Missing, ..) if *scalar != Scalar::Flag(false) => {
                let fallback = field.default.to_json().unwrap_or_default();
                format!("{name} is not available in this version; leave it out, or at its default {fallback}")
            }
            (_, Kind::Choice(choices), Scalar::Word(word)) if !choices.is_available(word) => {
                let available: Vec<_> = choices.available_words().collect();
                let instead = if available.is_empty() {
                    String::new()
                } else {
                    format!("; expected {}", one_of(&available))
                };
                format!("{name} {word:?} is not available in this version{instead}")
            }
            (_, Kind::Easing, Scalar::Spring) => {
                let available: Vec<_> = KEYFRAME_EASINGS.available_words().collect();
                format!("spring is not available in this version; expected {}", one_of(&available))
            }
            _ => return true,
        };
        let path = self.path_of(name);
        self.report.unsupported(&path, lacking);
        false
    }

    /// Notes that `value` is no value of `field`.
    fn refuse(&mut self, field: &Field, value: &Value, code: ProblemCode) {
        let message = self.refusal(field, value, code);
        self.problem(field.name, code, message);
    }

    /// Why `value` is no value of `field`.
    fn refusal(&mut self, field: &Field, value: &Value, code: ProblemCode) -> String {
        let given = scalar::shown(field.kind, value);
        let near = match (field.kind, value) {
            (Kind::Choice(choices), Value::String(word)) => {
                self.report.hint(word, choices.words.iter().copied())
            }
            _ => String::new(),
        };
        let expected = if code == ProblemCode::LimitExceeded {
            format!("the limit magnitude_max is {}", self.report.limits().magnitude_max)
        } else {
            format!("expected {}", field.kind.expectation())
        };
        format!("{} is {given}; {expected}{near}", field.name)
    }

    /// Notes a required field that is not there.
    fn require(&mut self, field: &Field) {
        if field.default == Preset::Required {
            let message = format!("{} is missing; expected {}", field.name, field.kind.expectation());
            self.problem(field.name, ProblemCode::MissingField, message);
        }
    }

    /// Checks a field without using its value.
    fn check(&mut self, field: &'static Field) {
        match field.kind {
            Kind::List(schema) => {
                for (path, value) in self.entries(field.name) {
                    if let Some(mut reader) = Reader::open(schema, value, path, self.report) {
                        if field.support == Support::Missing {
                            reader.mute();
                        }
                        reader.finish();
                    }
                }
            }
            Kind::Object(schema) => {
                if let Some(reader) = self.object(field.name, schema) {
                    reader.finish();
                }
            }
            _ => drop(self.scalar(field.name)),
        }
    }

    /// Opens an object inside this one.
    pub(super) fn object(
        &mut self,
        name: &'static str,
        schema: &'static Schema,
    ) -> Option<Reader<'d, '_, 'o>> {
        let field = self.field(name);
        let path = self.path_of(name);
        let value = self.given(name)?;
        if field.support == Support::Missing {
            let message = format!("{name} is not available in this version; leave it out");
            self.report.unsupported(&path, message);
        }
        let mut reader = Reader::open(schema, value, path, self.report)?;
        if field.support == Support::Missing {
            reader.mute();
        }
        Some(reader)
    }

    fn field(&mut self, name: &'static str) -> &'static Field {
        self.read.push(name);
        self.schema.field(name).expect("callers ask for fields of the schema they opened")
    }
}

/// A field's default as a value; `None` where absence means nothing.
fn default_of(field: &Field) -> Option<Scalar> {
    let value = match field.default {
        Preset::Required | Preset::Null | Preset::EmptyList | Preset::EmptyMap => return None,
        Preset::Number(_) | Preset::Flag(_) | Preset::Text(_) => field.default.to_json()?,
    };
    scalar::read(field.kind, &value, &super::ParseOptions::default()).ok()
}

/// A type that a field's value comes in.
pub(super) trait Held: Sized {
    fn from_scalar(scalar: Scalar) -> Option<Self>;
}

macro_rules! held {
    ($($type:ty: $($variant:ident)|+;)*) => {$(
        impl Held for $type {
            fn from_scalar(scalar: Scalar) -> Option<Self> {
                match scalar {
                    $(Scalar::$variant(value) => Some(value),)+
                    _ => None,
                }
            }
        }
    )*};
}

held! {
    f64: Number;
    Ticks: Ticks;
    i64: Integer | Instant;
    bool: Flag;
    String: Text;
    &'static str: Word;
    Color: Color;
    Length: Length;
    FrameRate: FrameRate;
    Easing: Easing;
}

fn spelt<T: DeserializeOwned>(word: &'static str) -> T {
    let spelt: Result<T, WordError> = T::deserialize(word.into_deserializer());
    spelt.expect("every available word is a variant of the field's type")
}

const SAME_KIND: &str = "readers ask for the type of the field's kind";

/// Typed reads.
impl<'d> Reader<'d, '_, '_> {
    /// A field whose absence means nothing.
    pub(super) fn optional<T: Held>(&mut self, name: &'static str) -> Option<T> {
        self.scalar(name).map(|scalar| T::from_scalar(scalar).expect(SAME_KIND))
    }

    /// A field whose absence means its default.
    pub(super) fn defaulted<T: Held>(&mut self, name: &'static str) -> T {
        self.optional(name).expect("the field has a default")
    }

    /// A field whose absence means its default, and in whose place keyframes may stand.
    pub(super) fn curve<T: Held>(&mut self, name: &'static str) -> Curve<T> {
        let field = self.field(name);
        let Some(value) = self.given(name).filter(|value| keyframe::given_for(field, value)) else {
            return Curve::Constant(self.defaulted(name));
        };
        let path = self.path_of(name);
        let keyframes = keyframe::read(field, value, path, self.report);
        let default = || default_of(field).expect("the field has a default");
        let curve = keyframes.map_or_else(|| Curve::Constant(default()), Curve::Keyframes);
        curve.map(|scalar| T::from_scalar(scalar).expect(SAME_KIND))
    }

    /// The value of a field that stands for one of `animated`.
    pub(super) fn animated(&mut self, name: &'static str, animated: &Field) -> Option<Scalar> {
        let value = self.raw(name)?;
        let read = scalar::read(animated.kind, value, self.report.options);
        let noted = read.map_err(|code| {
            let message = self.refusal(animated, value, code);
            self.problem(name, code, message);
        });
        noted.ok()
    }

    /// A field that must be there. Where it is not, the problem is noted and the value is arbitrary: the composition
    /// built with it is never seen.
    pub(super) fn required<T: Held + Default>(&mut self, name: &'static str) -> T {
        self.optional(name).unwrap_or_default()
    }

    /// The default's or the document's value, the latter only where there is one: the presence of a box's sides matters.
    pub(super) fn present<T: Held>(&mut self, name: &'static str) -> Option<T> {
        let value = self.optional(name);
        value.filter(|_| self.given(name).is_some())
    }

    /// A word as the type that spells it so.
    pub(super) fn word<T: DeserializeOwned>(&mut self, name: &'static str) -> T {
        spelt(self.defaulted(name))
    }

    /// A word that must be there, as the type that spells it so; where it is not, that is noted.
    pub(super) fn required_word<T: DeserializeOwned>(&mut self, name: &'static str) -> Option<T> {
        self.optional(name).map(spelt)
    }

    /// The list's own spelling of a word, or the default, whether or not this version carries it out (which is noted
    /// where it does not); `None` where the word is missing or unknown.
    pub(super) fn known_word(&mut self, name: &'static str) -> Option<&'static str> {
        let carried_out: Option<&'static str> = self.optional(name);
        match (self.schema.field(name)?.kind, self.given(name).and_then(Value::as_str)) {
            (Kind::Choice(choices), Some(word)) => choices.find(word),
            _ => carried_out,
        }
    }

    /// The value as it stands, for whoever knows its form.
    pub(super) fn raw(&mut self, name: &'static str) -> Option<&'d Value> {
        let field = self.field(name);
        if self.given(name).is_none() {
            self.require(field);
        }
        self.given(name)
    }

    /// Whether the document gives a value, a good one, and another than the default.
    pub(super) fn departs(&self, name: &'static str) -> bool {
        let Some((field, value)) = self.schema.field(name).zip(self.given(name)) else { return false };
        let scalar = scalar::read(field.kind, value, self.report.options).ok();
        scalar.is_some_and(|scalar| default_of(field).is_none_or(|default| !scalar.means(&default)))
    }
}
