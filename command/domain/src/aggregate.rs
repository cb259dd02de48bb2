//! The shape of an aggregate: a state folded from events, and a decision on a command.

use events::StreamVersion;

/// Something with a life of its own in the log.
///
/// `decide` reads, `evolve` changes; neither waits, draws or looks at a clock. What a decision needs is looked up
/// beforehand and travels in the command.
pub trait Aggregate: Default {
    /// A request in the imperative.
    type Command;
    /// A past fact.
    type Event;
    /// A *no*, and why.
    type Rejection: std::error::Error;

    /// What the command makes happen: nothing where it already took effect.
    ///
    /// # Errors
    /// Where the command may not take effect in this state.
    fn decide(&self, command: Self::Command) -> Result<Vec<Self::Event>, Self::Rejection>;

    /// The state after one more event, which stands at `version` of the stream. Total: an event that makes no sense
    /// here changes nothing.
    #[must_use]
    fn evolve(self, event: &Self::Event, version: StreamVersion) -> Self;
}

/// The state after all events of a stream, from its first.
#[must_use]
pub fn fold<'e, A: Aggregate>(events: impl IntoIterator<Item = &'e A::Event>) -> A
where
    A::Event: 'e,
{
    events
        .into_iter()
        .zip(1..)
        .fold(A::default(), |state, (event, version)| state.evolve(event, StreamVersion(version)))
}
