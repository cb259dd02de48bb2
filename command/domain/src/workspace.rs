//! The life of a workspace: it is created, and keys open it until they are revoked.

use std::collections::BTreeMap;

use events::workspace::{ApiKeyCreated, ApiKeyRevoked, WorkspaceCreated};
use events::{KeyId, Sha256, StreamVersion, WorkspaceEvent};
use thiserror::Error;

use crate::aggregate::Aggregate;

/// A workspace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Workspace {
    /// Nobody has created it.
    #[default]
    Absent,
    /// It exists.
    Open {
        /// For people.
        name: String,
        /// The digest of every key that opens it.
        keys: BTreeMap<KeyId, Sha256>,
    },
}

/// A request in the imperative.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Begin its life.
    Create {
        /// For people.
        name: String,
    },
    /// Let a key open it.
    AddKey(ApiKeyCreated),
    /// Let a key open it no more.
    RevokeKey {
        /// Which.
        key_id: KeyId,
    },
}

/// A *no* of the workspace's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Rejection {
    /// Nothing is known of it.
    #[error("there is no such workspace")]
    NotCreated,
    /// It has no such key.
    #[error("there is no key {key_id}")]
    UnknownKey {
        /// Which.
        key_id: KeyId,
    },
    /// The key's name is another key's.
    #[error("the name {key_id} is another key's")]
    KeyIdTaken {
        /// Which.
        key_id: KeyId,
    },
}

impl Aggregate for Workspace {
    type Command = Command;
    type Event = WorkspaceEvent;
    type Rejection = Rejection;

    fn decide(&self, command: Command) -> Result<Vec<WorkspaceEvent>, Rejection> {
        match (self, command) {
            (Workspace::Absent, Command::Create { name }) => {
                Ok(vec![WorkspaceEvent::WorkspaceCreated(WorkspaceCreated { name })])
            }
            (Workspace::Open { .. }, Command::Create { .. }) => Ok(Vec::new()),
            (Workspace::Absent, _) => Err(Rejection::NotCreated),
            (Workspace::Open { keys, .. }, Command::AddKey(key)) => match keys.get(&key.key_id) {
                None if keys.values().any(|known| *known == key.key_sha256) => Ok(Vec::new()),
                None => Ok(vec![WorkspaceEvent::ApiKeyCreated(key)]),
                Some(known) if *known == key.key_sha256 => Ok(Vec::new()),
                Some(_) => Err(Rejection::KeyIdTaken { key_id: key.key_id }),
            },
            (Workspace::Open { keys, .. }, Command::RevokeKey { key_id }) if keys.contains_key(&key_id) => {
                Ok(vec![WorkspaceEvent::ApiKeyRevoked(ApiKeyRevoked { key_id })])
            }
            (Workspace::Open { .. }, Command::RevokeKey { key_id }) => Err(Rejection::UnknownKey { key_id }),
        }
    }

    fn evolve(mut self, event: &WorkspaceEvent, _version: StreamVersion) -> Workspace {
        match (&mut self, event) {
            (Workspace::Absent, WorkspaceEvent::WorkspaceCreated(created)) => {
                return Workspace::Open { name: created.name.clone(), keys: BTreeMap::new() };
            }
            (Workspace::Open { keys, .. }, WorkspaceEvent::ApiKeyCreated(key)) => {
                keys.insert(key.key_id, key.key_sha256);
            }
            (Workspace::Open { keys, .. }, WorkspaceEvent::ApiKeyRevoked(key)) => {
                keys.remove(&key.key_id);
            }
            _ => {}
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::fold;

    fn key(id: u128, secret: &str) -> ApiKeyCreated {
        ApiKeyCreated {
            key_id: KeyId::new(id),
            name: "first".to_owned(),
            key_sha256: Sha256::of(secret.as_bytes()),
            key_prefix: "fl_live_".to_owned(),
        }
    }

    fn created() -> WorkspaceEvent {
        WorkspaceEvent::WorkspaceCreated(WorkspaceCreated { name: "default".to_owned() })
    }

    #[test]
    fn creating_a_workspace_twice_adds_nothing() {
        let create = Command::Create { name: "default".to_owned() };
        assert_eq!(Workspace::default().decide(create.clone()), Ok(vec![created()]));
        assert_eq!(fold::<Workspace>(&[created()]).decide(create), Ok(vec![]));
    }

    #[test]
    fn a_key_can_be_added_once_and_revoked_once() {
        let added = WorkspaceEvent::ApiKeyCreated(key(1, "fl_live_a"));
        let open: Workspace = fold(&[created(), added.clone()]);
        assert_eq!(
            fold::<Workspace>(&[created()]).decide(Command::AddKey(key(1, "fl_live_a"))),
            Ok(vec![added])
        );
        assert_eq!(
            open.decide(Command::AddKey(key(2, "fl_live_a"))),
            Ok(vec![]),
            "the same secret opens it already"
        );
        let taken = Rejection::KeyIdTaken { key_id: KeyId::new(1) };
        assert_eq!(open.decide(Command::AddKey(key(1, "fl_live_b"))), Err(taken));
        let revoked = open.decide(Command::RevokeKey { key_id: KeyId::new(1) }).expect("it is known");
        let closed = open.evolve(&revoked[0], StreamVersion(3));
        let unknown = Rejection::UnknownKey { key_id: KeyId::new(1) };
        assert_eq!(closed.decide(Command::RevokeKey { key_id: KeyId::new(1) }), Err(unknown));
    }

    #[test]
    fn nothing_opens_a_workspace_that_does_not_exist() {
        assert_eq!(
            Workspace::default().decide(Command::AddKey(key(1, "fl_live_a"))),
            Err(Rejection::NotCreated)
        );
    }
}
