//! Proving that the log is as it was written.
//!
//! Every event's hash covers its bytes and the hash before it ([`crate::chain`]): changing, inserting or
//! removing an event shows at its position. Whoever rewrites *every* later hash too, or cuts the log's end
//! off, is found only with an anchor: a position and its hash, noted elsewhere at an earlier time.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use events::{Position, Recorded, Sha256};

use crate::chain;
use crate::store::{EventStore, Head, StoreError};

/// Events per page: hashing one keeps its thread for a millisecond or two.
const PAGE: u32 = 1024;

/// Pages read and hashed at once.
const READ_AHEAD: u64 = 4;

/// What an audit found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every event is as it was written.
    Intact(Head),
    /// It is not; everything before this position is.
    Altered {
        /// The first position that is wrong.
        position: Position,
        /// How.
        finding: Finding,
    },
}

/// How a position is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The event's bytes, or its hash, are not what was written.
    Changed,
    /// There is no event here though there are later ones, or it cannot be read as one.
    Unreadable(String),
    /// The log ends before this position, which the anchor has seen.
    CutOff,
    /// The chain holds together, but the anchor has seen another hash here: it was rewritten, here or before.
    Rewritten,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Changed => f.write_str("it is not what was written"),
            Finding::Unreadable(what) => f.write_str(what),
            Finding::CutOff => f.write_str("the log ends before it"),
            Finding::Rewritten => {
                f.write_str("the log was rewritten here or before: the anchor has another hash")
            }
        }
    }
}

/// Checks the whole log, against an anchor where one was kept. Calls `progress` after every page with the
/// last position checked.
///
/// # Errors
/// Where the log cannot be read; an altered log is a [`Verdict`].
pub async fn verify(
    store: &Arc<dyn EventStore>,
    anchor: Option<(Position, Sha256)>,
    mut progress: impl FnMut(Position) + Send,
) -> Result<Verdict, StoreError> {
    let check =
        |page: u64| tokio::spawn(check_page(Arc::clone(store), Position(page * u64::from(PAGE)), anchor));
    let mut checked = Head { position: Position(0), hash: chain::GENESIS };
    // Positions have no gaps, so every page's place is known in advance: several are read and hashed at once.
    let mut pages: VecDeque<_> = (0..READ_AHEAD).map(check).collect();
    let mut next = READ_AHEAD;
    while let Some(page) = pages.pop_front() {
        match page
            .await
            .map_err(|source| StoreError::Database { doing: "checking a page", source: source.into() })??
        {
            Page::Altered(position, finding) => return Ok(Verdict::Altered { position, finding }),
            Page::Full(head) => checked = head,
            Page::Last(head) => {
                checked = head.unwrap_or(checked);
                progress(checked.position);
                break;
            }
        }
        progress(checked.position);
        pages.push_back(check(next));
        next += 1;
    }
    Ok(match anchor {
        Some((position, _)) if position > checked.position => {
            Verdict::Altered { position: Position(checked.position.0 + 1), finding: Finding::CutOff }
        }
        _ => Verdict::Intact(checked),
    })
}

/// What a page is found to be.
enum Page {
    /// Intact, with more behind it.
    Full(Head),
    /// Intact, and the log ends with it; `None` where it is empty.
    Last(Option<Head>),
    /// Altered here.
    Altered(Position, Finding),
}

/// Checks the page after a position. The event at that position, the last of the page before, is read with
/// it: its stored hash is what the first event's hash continues. Whether it is right is for its own page to
/// say.
async fn check_page(
    store: Arc<dyn EventStore>,
    after: Position,
    anchor: Option<(Position, Sha256)>,
) -> Result<Page, StoreError> {
    let before = u32::from(after.0 > 0);
    let (events, fault) = read(&*store, Position(after.0 - u64::from(before)), PAGE + before).await?;
    let (previous, events) = if before == 0 {
        (chain::GENESIS, events.as_slice())
    } else {
        match events.split_first() {
            Some((previous, events)) => (previous.hash, events),
            None => (chain::GENESIS, [].as_slice()),
        }
    };
    if let Err((position, finding)) = follow(previous, anchor, events) {
        return Ok(Page::Altered(position, finding));
    }
    if let Some((position, what)) = fault {
        return Ok(Page::Altered(position, Finding::Unreadable(what)));
    }
    let head = events.last().map(|last| Head { position: last.position, hash: last.hash });
    Ok(match head {
        // A short page is the end even if the log has grown since: the next page may have been read later.
        Some(head) if events.len() == PAGE as usize => Page::Full(head),
        head => Page::Last(head),
    })
}

/// Events that can be read, and what comes after them if that cannot.
type Readable = (Vec<Recorded>, Option<(Position, String)>);

async fn read(store: &dyn EventStore, after: Position, mut limit: u32) -> Result<Readable, StoreError> {
    let mut fault = None;
    while limit > 0 {
        match store.read_after(after, limit).await {
            Ok(events) => return Ok((events, fault)),
            // What stands before the fault is still to be checked: the first wrong position is asked for.
            Err(StoreError::Corrupt { position, what }) => {
                let sound = position.0.saturating_sub(after.0 + 1);
                limit = u32::try_from(sound).unwrap_or(0).min(limit - 1);
                fault = Some((position, what));
            }
            Err(error) => return Err(error),
        }
    }
    Ok((Vec::new(), fault))
}

/// Follows the chain through events that stand one after the other.
fn follow(
    mut previous: Sha256,
    anchor: Option<(Position, Sha256)>,
    events: &[Recorded],
) -> Result<(), (Position, Finding)> {
    for event in events {
        if chain::link(previous, event) != event.hash {
            return Err((event.position, Finding::Changed));
        }
        if anchor.is_some_and(|(position, hash)| position == event.position && hash != event.hash) {
            return Err((event.position, Finding::Rewritten));
        }
        previous = event.hash;
    }
    Ok(())
}
