//! Warnings: what is suspicious about a document that is accepted all the same.

use events::render::SubmissionWarning;
use serde::Serialize;

/// The kinds of suspicion that a document alone can give rise to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WarningCode {
    /// A field that the contract does not have; it is ignored.
    UnknownField,
    /// Nothing to see or hear but the background.
    EmptyTimeline,
    /// Two elements have one id.
    DuplicateElementId,
    /// An image without an id.
    MissingId,
    /// An element that begins when the film is over.
    ElementPastEnd,
    /// A caption's word that is spoken while its text is not shown.
    CaptionWordOutsideElement,
    /// A caption's word that its text does not have, or not in that order.
    CaptionWordNotInText,
    /// An outline wider than its letters: the unit is the font size.
    StrokeWidthInEm,
    /// A transition that one of its elements is too short or too far away for.
    TransitionTiming,
    /// A transition that names an element which is not visible.
    TransitionOfHiddenElement,
}

impl WarningCode {
    /// The wire's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            WarningCode::UnknownField => "unknown_field",
            WarningCode::EmptyTimeline => "EMPTY_TIMELINE",
            WarningCode::DuplicateElementId => "DUPLICATE_ELEMENT_ID",
            WarningCode::MissingId => "missing_id",
            WarningCode::ElementPastEnd => "element_past_end",
            WarningCode::CaptionWordOutsideElement => "caption_word_outside_element",
            WarningCode::CaptionWordNotInText => "caption_word_not_in_text",
            WarningCode::StrokeWidthInEm => "stroke_width_in_em",
            WarningCode::TransitionTiming => "transition_timing",
            WarningCode::TransitionOfHiddenElement => "transition_of_hidden_element",
        }
    }
}

/// One suspicion. On the wire: `{code, message, severity, path}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(into = "SubmissionWarning")]
pub struct Warning {
    /// Which kind.
    pub code: WarningCode,
    /// For people.
    pub message: String,
    /// JSON pointer into the body, never empty.
    pub path: String,
}

impl From<Warning> for SubmissionWarning {
    fn from(warning: Warning) -> SubmissionWarning {
        SubmissionWarning {
            code: warning.code.as_str().to_owned(),
            message: warning.message,
            severity: "warning".to_owned(),
            path: warning.path,
        }
    }
}
