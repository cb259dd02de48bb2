//! What a process does: any of the roles, in any number of processes, as far as they can meet.
//!
//! | shared | by | over |
//! | --- | --- | --- |
//! | log, read models | all but workers | a database (`--database-url`); one process alone keeps them in files |
//! | the master key | all but workers | a file (`--master-key`) |
//! | work | command and workers | NATS (`--nats-url`); in one process nothing is needed |
//! | objects | all | `--objects` |

use clap::ValueEnum;
use query::QueryDuties;

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(super) enum Role {
    /// Takes requests that change something, and decides what workers do
    Command,
    /// Answers what is read
    Query,
    /// Keeps the read models; of several such processes one does it at a time
    Projector,
    /// Sends webhooks
    Webhooks,
    /// Renders
    Worker,
}

impl Role {
    pub(super) const ALL: [Role; 5] =
        [Role::Command, Role::Query, Role::Projector, Role::Webhooks, Role::Worker];
    /// Those that work on the log.
    const FACE: [Role; 4] = [Role::Command, Role::Query, Role::Projector, Role::Webhooks];
}

/// What lies between a process and the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meeting {
    /// A database that others may work on, too.
    pub(super) database: bool,
    /// A NATS server.
    pub(super) nats: bool,
}

/// What a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Duties {
    /// It changes things.
    pub(super) command: bool,
    /// What it does of the read side.
    pub(super) query: QueryDuties,
    /// It renders.
    pub(super) worker: bool,
}

impl Duties {
    /// The duties of these roles.
    ///
    /// # Errors
    /// Where the process could not meet the others, with what it lacks.
    pub(super) fn of(roles: &[Role], meeting: Meeting) -> Result<Duties, &'static str> {
        let has = |role: &Role| roles.contains(role);
        let duties = Duties {
            command: has(&Role::Command),
            query: QueryDuties {
                answers: has(&Role::Query),
                projects: has(&Role::Projector),
                delivers: has(&Role::Webhooks),
            },
            worker: has(&Role::Worker),
        };
        if duties.face() && !Role::FACE.iter().all(has) && !meeting.database {
            return Err(
                "could not split the roles like this: the log is a file in the data folder, which one process works on; name \
                 a PostgreSQL database that all of them share, with --database-url",
            );
        }
        if duties.command != duties.worker && !meeting.nats {
            return Err(
                "could not split the roles: name the NATS server at which the roles command and worker meet, with --nats-url",
            );
        }
        Ok(duties)
    }

    /// Whether it works on the log.
    pub(super) fn face(self) -> bool {
        self.command || self.query != QueryDuties::NONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALONE: Meeting = Meeting { database: false, nats: false };
    const NATS: Meeting = Meeting { database: false, nats: true };
    const DATABASE: Meeting = Meeting { database: true, nats: false };

    #[test]
    fn roles_are_split_where_they_can_meet() {
        for (roles, meeting) in [
            (&Role::ALL[..], ALONE),
            (&Role::FACE[..], NATS),
            (&[Role::Worker][..], NATS),
            (&[Role::Query][..], DATABASE),
            (&[Role::Projector, Role::Webhooks][..], DATABASE),
            (&[Role::Command, Role::Worker][..], DATABASE),
            (&[Role::Command][..], Meeting { database: true, nats: true }),
        ] {
            assert!(Duties::of(roles, meeting).is_ok(), "{roles:?} {meeting:?}");
        }
    }

    #[test]
    fn a_process_that_could_meet_nobody_is_told_what_it_lacks() {
        for (roles, meeting, lacks) in [
            (&[Role::Worker][..], ALONE, "--nats-url"),
            (&Role::FACE[..], ALONE, "--nats-url"),
            (&[Role::Command, Role::Worker][..], NATS, "--database-url"),
            (&[Role::Query][..], NATS, "--database-url"),
            (&[Role::Command][..], DATABASE, "--nats-url"),
        ] {
            let refused = Duties::of(roles, meeting).expect_err("they can't meet");
            assert!(refused.contains(lacks), "{roles:?}: {refused}");
        }
    }
}
