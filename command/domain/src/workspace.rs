//! The life of a workspace: it is created, its settings change, and keys open it until they are revoked. It always has a
//! key: the last one stays.

use std::collections::BTreeMap;

use events::workspace::{
    ApiKeyCreated, ApiKeyRevoked, DisableReason, WebhookChanged, WebhookCreated, WebhookDeleted,
    WebhookDisabled, WebhookReplayed, WebhookSettings, WebhookTested, WorkspaceChanged, WorkspaceCreated,
};
use events::{KeyId, Sha256, StreamVersion, WebhookId, WorkspaceEvent};
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
        /// Its settings.
        settings: WorkspaceChanged,
        /// The digest of every key that opens it.
        keys: BTreeMap<KeyId, Sha256>,
        /// The endpoints that are told of its events.
        webhooks: BTreeMap<WebhookId, WebhookSettings>,
    },
}

/// Endpoints of one workspace at most.
pub const WEBHOOKS_MAX: usize = 100;

/// Keys that open one workspace at most.
pub const KEYS_MAX: usize = 100;

/// A request in the imperative.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Begin its life.
    Create {
        /// For people.
        name: String,
    },
    /// Change its settings; what is `None` stays as it is.
    Change {
        /// For people.
        name: Option<String>,
        /// Whether foreign sources are copied first where a request does not say.
        ingest_external: Option<bool>,
        /// Renders in work at once; `Some(None)`: as many as the installation's setting says.
        concurrency: Option<Option<u32>>,
    },
    /// Let a key open it.
    AddKey(ApiKeyCreated),
    /// Let a key open it no more.
    RevokeKey {
        /// Which.
        key_id: KeyId,
    },
    /// Tell an endpoint of its events.
    CreateWebhook(WebhookCreated),
    /// Change an endpoint's settings; what is `None` stays as it is.
    ChangeWebhook {
        /// Which.
        webhook_id: WebhookId,
        /// Where it is.
        address: Option<Sha256>,
        /// What it is told of.
        events: Option<Vec<String>>,
        /// Whether it is told of anything.
        enabled: Option<bool>,
    },
    /// Tell an endpoint nothing more.
    DeleteWebhook {
        /// Which.
        webhook_id: WebhookId,
    },
    /// Tell an endpoint nothing until somebody enables it.
    DisableWebhook {
        /// Which.
        webhook_id: WebhookId,
        /// Why.
        reason: DisableReason,
    },
    /// Send an endpoint a message to try it.
    TestWebhook {
        /// Which.
        webhook_id: WebhookId,
    },
    /// Tell an endpoint once more of what has happened.
    ReplayWebhook(WebhookReplayed),
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
    /// Nobody could open it any more.
    #[error("{key_id} is the last key of the workspace; make another one first")]
    LastKey {
        /// Which.
        key_id: KeyId,
    },
    /// It has as many keys as a workspace may have.
    #[error("the workspace has {KEYS_MAX} keys, the most it may have; revoke one first")]
    TooManyKeys,
    /// It has no such endpoint.
    #[error("there is no webhook {webhook_id}")]
    UnknownWebhook {
        /// Which.
        webhook_id: WebhookId,
    },
    /// It has as many endpoints as a workspace may have.
    #[error("the workspace has {WEBHOOKS_MAX} webhooks, the most it may have; delete one first")]
    TooManyWebhooks,
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
            (Workspace::Open { settings, .. }, Command::Change { name, ingest_external, concurrency }) => {
                let changed = WorkspaceChanged {
                    name: name.unwrap_or_else(|| settings.name.clone()),
                    ingest_external: ingest_external.unwrap_or(settings.ingest_external),
                    concurrency: concurrency.unwrap_or(settings.concurrency),
                };
                let is_new = changed != *settings;
                Ok(is_new.then_some(WorkspaceEvent::WorkspaceChanged(changed)).into_iter().collect())
            }
            (Workspace::Open { keys, .. }, Command::AddKey(key)) => add_key(keys, key),
            (Workspace::Open { keys, .. }, Command::RevokeKey { key_id }) => match keys.len() {
                _ if !keys.contains_key(&key_id) => Err(Rejection::UnknownKey { key_id }),
                1 => Err(Rejection::LastKey { key_id }),
                _ => Ok(vec![WorkspaceEvent::ApiKeyRevoked(ApiKeyRevoked { key_id })]),
            },
            (Workspace::Open { webhooks, .. }, command) => decide_webhook(webhooks, command),
        }
    }

    fn evolve(mut self, event: &WorkspaceEvent, _version: StreamVersion) -> Workspace {
        match (&mut self, event) {
            (Workspace::Absent, WorkspaceEvent::WorkspaceCreated(created)) => {
                let name = created.name.clone();
                let settings = WorkspaceChanged { name, ingest_external: false, concurrency: None };
                return Workspace::Open { settings, keys: BTreeMap::new(), webhooks: BTreeMap::new() };
            }
            (Workspace::Open { settings, .. }, WorkspaceEvent::WorkspaceChanged(changed)) => {
                settings.clone_from(changed);
            }
            (Workspace::Open { keys, .. }, WorkspaceEvent::ApiKeyCreated(key)) => {
                keys.insert(key.key_id, key.key_sha256);
            }
            (Workspace::Open { keys, .. }, WorkspaceEvent::ApiKeyRevoked(key)) => {
                keys.remove(&key.key_id);
            }
            (Workspace::Open { webhooks, .. }, event) => evolve_webhooks(webhooks, event),
            _ => {}
        }
        self
    }
}

fn decide_webhook(
    webhooks: &BTreeMap<WebhookId, WebhookSettings>,
    command: Command,
) -> Result<Vec<WorkspaceEvent>, Rejection> {
    let known =
        |webhook_id: WebhookId| webhooks.get(&webhook_id).ok_or(Rejection::UnknownWebhook { webhook_id });
    Ok(match command {
        Command::CreateWebhook(created) => match webhooks.len() {
            _ if webhooks.contains_key(&created.webhook_id) => Vec::new(),
            WEBHOOKS_MAX.. => return Err(Rejection::TooManyWebhooks),
            _ => vec![WorkspaceEvent::WebhookCreated(created)],
        },
        Command::ChangeWebhook { webhook_id, address, events, enabled } => {
            let before = known(webhook_id)?;
            let settings = WebhookSettings {
                address: address.unwrap_or(before.address),
                events: events.unwrap_or_else(|| before.events.clone()),
                enabled: enabled.unwrap_or(before.enabled),
            };
            let is_new = settings != *before;
            let changed = WorkspaceEvent::WebhookChanged(WebhookChanged { webhook_id, settings });
            is_new.then_some(changed).into_iter().collect()
        }
        Command::DeleteWebhook { webhook_id } => {
            known(webhook_id)?;
            vec![WorkspaceEvent::WebhookDeleted(WebhookDeleted { webhook_id })]
        }
        Command::DisableWebhook { webhook_id, reason } => {
            let disabled = WorkspaceEvent::WebhookDisabled(WebhookDisabled { webhook_id, reason });
            // One that is gone or silent already needs no further word.
            let tells = webhooks.get(&webhook_id).is_some_and(|settings| settings.enabled);
            tells.then_some(disabled).into_iter().collect()
        }
        // Also one that is disabled: whoever asks wants to know, or to have it.
        Command::TestWebhook { webhook_id } => {
            known(webhook_id)?;
            vec![WorkspaceEvent::WebhookTested(WebhookTested { webhook_id })]
        }
        Command::ReplayWebhook(replayed) => {
            known(replayed.webhook_id)?;
            vec![WorkspaceEvent::WebhookReplayed(replayed)]
        }
        Command::Create { .. } | Command::Change { .. } | Command::AddKey(_) | Command::RevokeKey { .. } => {
            Vec::new()
        }
    })
}

fn evolve_webhooks(webhooks: &mut BTreeMap<WebhookId, WebhookSettings>, event: &WorkspaceEvent) {
    match event {
        WorkspaceEvent::WebhookCreated(created) => {
            webhooks.insert(created.webhook_id, created.settings.clone());
        }
        WorkspaceEvent::WebhookChanged(changed) => {
            webhooks.insert(changed.webhook_id, changed.settings.clone());
        }
        WorkspaceEvent::WebhookDeleted(deleted) => {
            webhooks.remove(&deleted.webhook_id);
        }
        WorkspaceEvent::WebhookDisabled(disabled) => {
            if let Some(settings) = webhooks.get_mut(&disabled.webhook_id) {
                settings.enabled = false;
            }
        }
        _ => {}
    }
}

fn add_key(keys: &BTreeMap<KeyId, Sha256>, key: ApiKeyCreated) -> Result<Vec<WorkspaceEvent>, Rejection> {
    match keys.get(&key.key_id) {
        None if keys.values().any(|known| *known == key.key_sha256) => Ok(Vec::new()),
        None if keys.len() >= KEYS_MAX => Err(Rejection::TooManyKeys),
        None => Ok(vec![WorkspaceEvent::ApiKeyCreated(key)]),
        Some(known) if *known == key.key_sha256 => Ok(Vec::new()),
        Some(_) => Err(Rejection::KeyIdTaken { key_id: key.key_id }),
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
            idempotency_key_hash: None,
        }
    }

    fn opened_by(keys: u128) -> Workspace {
        let added = (1..=keys).map(|id| WorkspaceEvent::ApiKeyCreated(key(id, &format!("fl_live_{id}"))));
        fold(&[created()].into_iter().chain(added).collect::<Vec<_>>())
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
        let two = opened_by(2);
        let revoked = two.decide(Command::RevokeKey { key_id: KeyId::new(1) }).expect("it is known");
        let closed = two.evolve(&revoked[0], StreamVersion(4));
        let unknown = Rejection::UnknownKey { key_id: KeyId::new(1) };
        assert_eq!(closed.decide(Command::RevokeKey { key_id: KeyId::new(1) }), Err(unknown));
    }

    #[test]
    fn the_last_key_stays_and_there_are_at_most_a_hundred() {
        let last = Rejection::LastKey { key_id: KeyId::new(1) };
        assert_eq!(opened_by(1).decide(Command::RevokeKey { key_id: KeyId::new(1) }), Err(last));
        let more = || Command::AddKey(key(1000, "fl_live_more"));
        assert!(opened_by(99).decide(more()).is_ok_and(|events| events.len() == 1), "the hundredth");
        assert_eq!(opened_by(100).decide(more()), Err(Rejection::TooManyKeys));
        assert_eq!(opened_by(100).decide(Command::AddKey(key(1, "fl_live_1"))), Ok(vec![]), "told twice");
    }

    #[test]
    fn a_change_says_only_what_it_changes() {
        let change = |name: Option<&str>, concurrency| Command::Change {
            name: name.map(str::to_owned),
            ingest_external: None,
            concurrency,
        };
        let open = opened_by(1);
        assert_eq!(open.decide(change(Some("default"), None)), Ok(vec![]), "as it is already");
        let decided = open.decide(change(Some("studio"), Some(Some(4)))).expect("it exists");
        let changed =
            WorkspaceChanged { name: "studio".to_owned(), ingest_external: false, concurrency: Some(4) };
        assert_eq!(decided, [WorkspaceEvent::WorkspaceChanged(changed.clone())]);
        let open = open.evolve(&decided[0], StreamVersion(3));
        let reset = open.decide(change(None, Some(None))).expect("it exists");
        assert_eq!(
            reset,
            [WorkspaceEvent::WorkspaceChanged(WorkspaceChanged { concurrency: None, ..changed })]
        );
        assert_eq!(Workspace::Absent.decide(change(None, None)), Err(Rejection::NotCreated));
    }

    #[test]
    fn an_endpoint_is_told_until_it_is_deleted_or_disabled() {
        let webhook_id = WebhookId::new(7);
        let settings = WebhookSettings { address: Sha256::of(b"a"), events: Vec::new(), enabled: true };
        let created = WebhookCreated { webhook_id, settings: settings.clone(), idempotency_key_hash: None };
        let open = opened_by(1);
        let decided = open.decide(Command::CreateWebhook(created.clone())).expect("there is room");
        let open = open.evolve(&decided[0], StreamVersion(3));
        assert_eq!(open.decide(Command::CreateWebhook(created)), Ok(vec![]), "told twice");
        let change = |enabled| Command::ChangeWebhook { webhook_id, address: None, events: None, enabled };
        assert_eq!(open.decide(change(Some(true))), Ok(vec![]), "as it is already");
        let disable = Command::DisableWebhook { webhook_id, reason: DisableReason::Gone };
        let disabled = open.decide(disable.clone()).expect("it is told");
        let silent = open.clone().evolve(&disabled[0], StreamVersion(4));
        assert_eq!(silent.decide(disable), Ok(vec![]), "it is silent already");
        assert_eq!(
            silent.decide(change(Some(true))).map(|events| events.len()),
            Ok(1),
            "and may be told again"
        );
        let deleted = open.decide(Command::DeleteWebhook { webhook_id }).expect("it is there");
        let gone = open.evolve(&deleted[0], StreamVersion(4));
        let unknown = Err(Rejection::UnknownWebhook { webhook_id });
        assert_eq!(gone.decide(Command::DeleteWebhook { webhook_id }), unknown);
        assert_eq!(gone.decide(change(None)), unknown);
    }

    #[test]
    fn nothing_opens_a_workspace_that_does_not_exist() {
        assert_eq!(
            Workspace::default().decide(Command::AddKey(key(1, "fl_live_a"))),
            Err(Rejection::NotCreated)
        );
    }
}
