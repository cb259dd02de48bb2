//! What the OpenAPI document says of one webhook.

use crate::operation::Shape;

/// A message that the service posts to endpoints of its callers.
#[derive(Debug, Clone)]
pub struct Hook {
    pub(crate) name: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) text: &'static str,
    pub(crate) body: Shape,
}

impl Hook {
    /// The event's type, what it says in a few words, more about it (Markdown), and the form of its body.
    #[must_use]
    pub fn new(
        name: &'static str,
        summary: &'static str,
        text: &'static str,
        body: impl Into<Shape>,
    ) -> Hook {
        Hook { name, summary, text, body: body.into() }
    }
}
