//! What one walk over a document finds: problems and warnings, in the order they are met.

use std::collections::BTreeSet;

use super::ParseOptions;
use super::nearest::nearest;
use crate::limits::Limits;
use crate::problem::{Problem, ProblemCode};
use crate::warning::{Warning, WarningCode};

/// Characters of a caller's string that a message repeats.
const SHOWN_CHARS: usize = 40;

/// Misspelt words for which the nearest known one is sought: the search is the one step whose cost grows with the
/// product of the document's and the catalog's sizes, and nobody reads the thousandth suggestion.
const HINTS_MAX: usize = 100;

/// Characters of an unknown field's name that a warning's path repeats: warnings are stored with the job.
const PATH_NAME_CHARS: usize = 200;

/// The findings so far.
pub(super) struct Report<'o> {
    pub(super) options: &'o ParseOptions,
    /// Elements met so far, those inside compositions included.
    pub(super) elements: usize,
    /// Greater than 0 inside something that is already refused as unsupported: its parts need no such note.
    muted: usize,
    problems: Vec<Problem>,
    warnings: Vec<Warning>,
    further_problems: usize,
    further_warnings: usize,
    hints: usize,
}

impl<'o> Report<'o> {
    pub(super) fn new(options: &'o ParseOptions) -> Report<'o> {
        Report {
            options,
            elements: 0,
            muted: 0,
            problems: Vec::new(),
            warnings: Vec::new(),
            further_problems: 0,
            further_warnings: 0,
            hints: 0,
        }
    }

    pub(super) fn limits(&self) -> &'o Limits {
        &self.options.limits
    }

    pub(super) fn problem(&mut self, path: &str, code: ProblemCode, message: String) {
        if self.problems.len() < self.limits().problems_max {
            self.problems.push(Problem { path: path.to_owned(), code, message });
        } else {
            self.further_problems += 1;
        }
    }

    /// How many problems were met.
    pub(super) fn count(&self) -> usize {
        self.problems.len() + self.further_problems
    }

    /// The list entries below `list` (`/elements`) that something is wrong with.
    pub(super) fn faulty_entries(&self, list: &str) -> BTreeSet<usize> {
        let index = |problem: &Problem| {
            let below = problem.path.strip_prefix(list)?.strip_prefix('/')?;
            below.split('/').next()?.parse().ok()
        };
        self.problems.iter().filter_map(index).collect()
    }

    /// Notes a feature that this version does not carry out, unless what holds it was noted already.
    pub(super) fn unsupported(&mut self, path: &str, message: String) {
        if self.muted == 0 {
            self.problem(path, ProblemCode::UnsupportedFeature, message);
        }
    }

    /// From here to the matching [`Report::unmute`], unsupported features go without a note.
    pub(super) fn mute(&mut self) {
        self.muted += 1;
    }

    pub(super) fn unmute(&mut self) {
        self.muted -= 1;
    }

    pub(super) fn warning(&mut self, path: &str, code: WarningCode, message: String) {
        if self.warnings.len() < self.limits().warnings_max {
            self.warnings.push(Warning { code, message, path: path.to_owned() });
        } else {
            self.further_warnings += 1;
        }
    }

    /// `; did you mean "multiply"?`, or nothing.
    pub(super) fn hint<'w>(&mut self, word: &str, known: impl IntoIterator<Item = &'w str>) -> String {
        if self.hints == HINTS_MAX {
            return String::new();
        }
        self.hints += 1;
        nearest(word, known).map(|near| format!("; did you mean {near:?}?")).unwrap_or_default()
    }

    /// Everything found; what was more than the limits is counted in the last entry.
    pub(super) fn finish(mut self) -> (Vec<Problem>, Vec<Warning>) {
        if let (more @ 1.., Some(last)) = (self.further_problems, self.problems.last_mut()) {
            last.message = format!("{} (and {more} further problems)", last.message);
        }
        if let (more @ 1.., Some(last)) = (self.further_warnings, self.warnings.last_mut()) {
            last.message = format!("{} (and {more} further warnings)", last.message);
        }
        (self.problems, self.warnings)
    }
}

/// `path` with one more step (RFC 6901, 4).
pub(super) fn step(path: &str, name: &str) -> String {
    format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// `path` with the step to a list's entry.
pub(super) fn entry(path: &str, index: usize) -> String {
    format!("{path}/{index}")
}

/// The step to a field whose name may be of any length.
pub(super) fn step_shortened(path: &str, name: &str) -> String {
    step(path, &shortened(name, PATH_NAME_CHARS))
}

/// A caller's string, quoted and of bounded length.
pub(super) fn quoted(text: &str) -> String {
    format!("{:?}", shortened(text, SHOWN_CHARS))
}

fn shortened(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
