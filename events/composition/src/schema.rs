//! The request's grammar as data: every field of the contract with its kind, range and default.
//!
//! The parser reads documents by these tables, `GET /v1/capabilities` shows them, and a test holds them against
//! `contract.json`. Rules between fields are code, in [`mod@crate::parse`].

pub mod animation;
pub mod describe;
pub mod element;
pub mod json;
pub mod kind;
mod meaning;
pub mod request;
pub mod task;

pub use kind::{Kind, Range};

/// What one kind of JSON object may hold.
#[derive(Debug)]
pub struct Schema {
    /// What messages call the object: `video`.
    pub name: &'static str,
    /// Its own fields; they hide fields of the same name in `groups`.
    pub own: &'static [Field],
    /// Fields that it shares with others.
    pub groups: &'static [Group],
}

/// Fields that several kinds of object share.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// The contract's name for them: `visual`.
    pub name: &'static str,
    /// The fields.
    pub fields: &'static [Field],
}

impl Schema {
    /// Every field, own ones first.
    pub fn fields(&self) -> impl Iterator<Item = &'static Field> + use<> {
        let (own, groups) = (self.own, self.groups);
        let shared = groups.iter().flat_map(|group| group.fields);
        own.iter().chain(shared.filter(move |field| own.iter().all(|mine| mine.name != field.name)))
    }

    /// The field of that name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        let shared = self.groups.iter().flat_map(|group| group.fields);
        self.own.iter().chain(shared).find(|field| field.name == name)
    }
}

/// One field.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// The wire's word.
    pub name: &'static str,
    /// What it may hold.
    pub kind: Kind,
    /// What its absence means; `null` is absence everywhere.
    pub default: Preset,
    /// Whether this version carries it out.
    pub support: Support,
    /// Where `{"keyframes": […]}` may stand in the value's place (an extension): whether this version carries that out.
    pub keyframes: Option<Support>,
    /// Whether the field is ours rather than the public API's.
    pub extension: bool,
}

/// What a field's absence means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Preset {
    /// It may not be absent.
    Required,
    /// Nothing.
    Null,
    /// This number.
    Number(f64),
    /// This truth value.
    Flag(bool),
    /// This string.
    Text(&'static str),
    /// No entries.
    EmptyList,
    /// No keys.
    EmptyMap,
}

/// Whether this version carries a field out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// It does.
    Full,
    /// It does not: any value but the default is refused.
    Missing,
    /// It does not, but the field only shapes another one that is refused itself, so any value is harmless.
    Modifier,
}

/// A field that may be absent and then means nothing; the methods say what differs.
const fn field(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, default: Preset::Null, support: Support::Full, keyframes: None, extension: false }
}

impl Field {
    const fn required(self) -> Field {
        Field { default: Preset::Required, ..self }
    }

    const fn number(self, value: f64) -> Field {
        Field { default: Preset::Number(value), ..self }
    }

    const fn text(self, value: &'static str) -> Field {
        Field { default: Preset::Text(value), ..self }
    }

    const fn flag(self, value: bool) -> Field {
        Field { default: Preset::Flag(value), ..self }
    }

    const fn empty_list(self) -> Field {
        Field { default: Preset::EmptyList, ..self }
    }

    const fn empty_map(self) -> Field {
        Field { default: Preset::EmptyMap, ..self }
    }

    const fn missing(self) -> Field {
        Field { support: Support::Missing, ..self }
    }

    const fn modifier(self) -> Field {
        Field { support: Support::Modifier, ..self }
    }

    const fn keyframed(self) -> Field {
        Field { keyframes: Some(Support::Full), ..self }
    }

    const fn keyframes_missing(self) -> Field {
        Field { keyframes: Some(Support::Missing), ..self }
    }

    const fn extension(self) -> Field {
        Field { extension: true, ..self }
    }
}
