//! Document → composition, with every problem at once.
//!
//! One walk reads the document by the tables of [`crate::schema`] and builds the typed composition as it goes; whatever
//! is wrong is noted and the walk goes on with the default, so that a caller learns of all faults in one round trip.
//! Nothing in the document is silently ignored: a field is carried out, or refused as a feature of another version, or
//! (where the contract does not know it) named in a warning.

mod animation;
mod caption;
mod element;
mod film;
mod format;
mod keyframe;
mod nearest;
mod reader;
mod report;
mod request;
mod scalar;
mod text;
mod transition;
mod visual;

use serde_json::Value;

use crate::composition::Composition;
use crate::limits::Limits;
use crate::problem::Problem;
use crate::warning::Warning;
pub use nearest::nearest;
use report::Report;

/// The version of the contract that documents are normalised under. It rises when a default changes its meaning.
pub const CONTRACT_VERSION: u16 = 1;

/// What parsing depends on besides the document.
#[derive(Debug, Clone, Default)]
pub struct ParseOptions {
    /// What the installation takes.
    pub limits: Limits,
    /// Whether sources may be paths of local files, as for a film rendered from the command line.
    pub local_files: bool,
}

/// An accepted document.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// What it means.
    pub composition: Composition,
    /// What is suspicious about it.
    pub warnings: Vec<Warning>,
}

/// Reads a render request.
///
/// # Errors
/// Everything that is wrong with it, in document order, at most [`Limits::problems_max`] problems.
pub fn parse(body: &Value, options: &ParseOptions) -> Result<Parsed, Vec<Problem>> {
    let mut report = Report::new(options);
    let composition = request::read(body, &mut report);
    let (problems, warnings) = report.finish();
    match composition {
        Some(composition) if problems.is_empty() => Ok(Parsed { composition, warnings }),
        _ => Err(problems),
    }
}
