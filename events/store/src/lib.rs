//! The event log: the port, its adapters, the hash chain, and the vault that seals what callers wrote.
//!
//! [`store`] is the port; [`memory`] is the reference adapter, [`sqlite`] and [`postgres`] those that last: a file
//! (kept as [`sqlite_file`] says) for one machine, a database for any number of nodes. Readers follow the log with a
//! [`Subscription`]; [`audit`] proves that nothing was altered; [`transfer`] carries it from one database to another;
//! [`vault`] and [`documents`] keep what must not be readable in the file; [`nodes`] is what several nodes agree on beside
//! the log.
//!
//! Must not know: what events mean (see `events`), what documents mean (see `composition`).

pub mod audit;
pub mod chain;
pub mod documents;
pub mod memory;
pub mod nodes;
pub mod postgres;
mod sequencer;
pub mod sqlite;
pub mod sqlite_file;
pub mod store;
pub mod subscription;
pub mod transfer;
pub mod vault;
pub mod webhook_secret;

pub use audit::{Verdict, verify};
pub use documents::{ReadDocumentError, read_document, seal_document};
pub use memory::MemoryStore;
pub use nodes::while_on_duty;
pub use postgres::{OpenPostgresError, PostgresOptions, PostgresSchema, PostgresStore, Route};
pub use sqlite::SqliteStore;
pub use sqlite_file::{OpenError, SqliteFile, library_version};
pub use store::{
    ApiKeyRow, Append, AppendError, Census, EventStore, Guard, Head, IdempotencyRow, IdempotencyScope,
    LeaseKey, LeaseRow, NewQueueRow, QueueRow, SideRow, StoreError, StreamAppend, WorkspaceLoad,
};
pub use subscription::Subscription;
pub use transfer::{Archive, Carried, ExportError, ImportError, export, import};
pub use vault::{Vault, VaultError, WorkspaceKey};
pub use webhook_secret::{WebhookSecretError, replace_webhook_secret, webhook_secrets};
