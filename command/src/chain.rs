//! An error and its causes in one line, for the log.

use std::error::Error;

/// The error's text, then each cause's, separated by colons.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
