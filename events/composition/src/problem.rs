//! Problems: what is wrong with a caller's document, where, and what would be right.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The kinds of problem; closed, so that callers can match on the wire's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemCode {
    /// A field that must be there is not.
    MissingField,
    /// Another JSON type than the field takes.
    WrongType,
    /// The right type, outside the field's range.
    OutOfRange,
    /// A word that is not in the field's list.
    UnknownValue,
    /// The right JSON type, but not of the field's form (colours, lengths, URLs, rates, instants).
    MalformedValue,
    /// Part of the contract, and not of this version.
    UnsupportedFeature,
    /// More than this installation takes; the message names the limit.
    LimitExceeded,
    /// Each field is right by itself, together they are not.
    ConflictingFields,
    /// A transition names an id that two elements have.
    DuplicateElementId,
    /// A transition names an id that no element has.
    DanglingTransition,
    /// A transition from an element to itself.
    TransitionSelf,
}

impl ProblemCode {
    /// The wire's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ProblemCode::MissingField => "missing_field",
            ProblemCode::WrongType => "wrong_type",
            ProblemCode::OutOfRange => "out_of_range",
            ProblemCode::UnknownValue => "unknown_value",
            ProblemCode::MalformedValue => "malformed_value",
            ProblemCode::UnsupportedFeature => "unsupported_feature",
            ProblemCode::LimitExceeded => "limit_exceeded",
            ProblemCode::ConflictingFields => "conflicting_fields",
            ProblemCode::DuplicateElementId => "duplicate_element_id",
            ProblemCode::DanglingTransition => "dangling_transition",
            ProblemCode::TransitionSelf => "transition_self",
        }
    }
}

impl fmt::Display for ProblemCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// JSON pointer (RFC 6901) into the body, never empty; of a missing field, where it would be.
    pub path: String,
    /// Which kind.
    pub code: ProblemCode,
    /// What was given, what is accepted, and for a misspelt word the nearest right one. Never a URL's secrets.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}
