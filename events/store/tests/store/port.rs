//! What every adapter of the event store promises: one list of tests, run against each.
//!
//! How to add an adapter: implement [`Adapter`] for a type that opens an empty store, and name it in the list
//! below.

use std::sync::Arc;

use event_store::{EventStore, MemoryStore, PostgresOptions, PostgresStore, Route, SqliteStore};

use crate::server::{Database, Pooler};

mod appends;
mod following;
mod leases;
mod nodes;
mod queue;
mod tables;

/// An empty store and whatever keeps it alive.
trait Adapter: Sized {
    async fn open() -> Self;
    fn store(&self) -> Arc<dyn EventStore>;
    /// The same log as another process opens it.
    async fn again(&self) -> Arc<dyn EventStore>;
}

struct Memory(Arc<MemoryStore>);

impl Adapter for Memory {
    async fn open() -> Memory {
        Memory(Arc::new(MemoryStore::new()))
    }

    fn store(&self) -> Arc<dyn EventStore> {
        self.0.clone()
    }

    /// No other process has it.
    async fn again(&self) -> Arc<dyn EventStore> {
        self.0.clone()
    }
}

struct Sqlite {
    store: Arc<SqliteStore>,
    folder: tempfile::TempDir,
}

impl Adapter for Sqlite {
    async fn open() -> Sqlite {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteStore::open(&folder.path().join("log.db")).await.unwrap());
        Sqlite { store, folder }
    }

    fn store(&self) -> Arc<dyn EventStore> {
        self.store.clone()
    }

    async fn again(&self) -> Arc<dyn EventStore> {
        Arc::new(SqliteStore::open(&self.folder.path().join("log.db")).await.unwrap())
    }
}

struct Postgres {
    store: Arc<PostgresStore>,
    database: Database,
}

async fn open_postgres(address: &str, route: Route) -> Arc<PostgresStore> {
    Arc::new(PostgresStore::open(PostgresOptions::parse(address, route).unwrap()).await.unwrap())
}

impl Adapter for Postgres {
    async fn open() -> Postgres {
        let database = Database::create().await;
        Postgres { store: open_postgres(&database.address(), Route::Direct).await, database }
    }

    fn store(&self) -> Arc<dyn EventStore> {
        self.store.clone()
    }

    async fn again(&self) -> Arc<dyn EventStore> {
        open_postgres(&self.database.address(), Route::Direct).await
    }
}

struct Pooled {
    store: Arc<PostgresStore>,
    pooler: Pooler,
    _database: Database,
}

impl Adapter for Pooled {
    async fn open() -> Pooled {
        let database = Database::create().await;
        let pooler = Pooler::start(&database).await;
        Pooled { store: open_postgres(pooler.address(), Route::Pooler).await, pooler, _database: database }
    }

    fn store(&self) -> Arc<dyn EventStore> {
        self.store.clone()
    }

    async fn again(&self) -> Arc<dyn EventStore> {
        open_postgres(self.pooler.address(), Route::Pooler).await
    }
}

/// Runs each test of the list against each adapter.
macro_rules! port_tests {
    ($($group:ident: $($test:ident),+;)+) => {
        port_tests!(@adapter memory, Memory, $($($group $test),+),+);
        port_tests!(@adapter sqlite, Sqlite, $($($group $test),+),+);
        port_tests!(@adapter postgres, Postgres, $($($group $test),+),+);
        port_tests!(@adapter pooled_postgres, Pooled, $($($group $test),+),+);
    };
    (@adapter $module:ident, $adapter:ty, $($group:ident $test:ident),+) => {
        mod $module {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    let opened = <$adapter>::open().await;
                    super::$group::$test(opened.store()).await;
                }
            )+

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn many_writers_and_restarting_readers_meet_every_event_once() {
                let opened = <$adapter>::open().await;
                let nodes = [opened.store(), opened.again().await, opened.again().await];
                super::following::many_writers_and_restarting_readers_meet_every_event_once(nodes).await;
            }
        }
    };
}

port_tests! {
    appends:
        an_append_comes_back_as_it_was_written,
        every_optional_field_survives,
        a_version_conflict_is_a_value,
        one_conflict_among_many_appends_disturbs_no_other,
        several_streams_are_appended_together_or_not_at_all,
        an_event_id_is_used_once,
        rows_without_events_are_kept,
        the_head_follows_the_log;
    following:
        a_page_begins_right_after_its_checkpoint,
        a_waiting_reader_is_woken_by_a_commit,
        a_reader_ahead_of_the_log_is_told,
        a_stream_is_read_in_pieces,
        a_workspaces_events_are_read_in_the_logs_order,
        an_untouched_log_verifies,
        an_anchor_of_another_log_is_noticed;
    leases:
        a_lease_lives_until_its_end,
        only_live_leases_are_extended,
        a_new_lease_replaces_the_slots_older_one,
        all_leases_end_at_once,
        an_expiry_is_accepted_only_after_the_end;
    nodes:
        a_duty_is_one_nodes_until_it_ends_or_is_given_back,
        an_engine_that_was_heard_of_is_known_to_all;
    queue:
        work_is_due_by_priority_and_then_by_age,
        no_workspace_fills_the_page,
        what_was_begun_goes_before_what_would_be_and_neither_hides_the_other,
        workspaces_take_turns_within_a_priority,
        the_load_of_a_workspace_is_what_it_has_begun,
        a_census_counts_what_waits_and_what_is_in_work,
        no_more_is_begun_than_there_is_room_for,
        work_is_not_due_before_its_time,
        a_slot_is_claimed_by_one_of_many,
        enqueuing_again_keeps_the_turn,
        a_render_that_is_over_leaves_nothing_behind;
    tables:
        one_of_two_racing_requests_takes_the_idempotency_key,
        an_idempotency_key_lapses,
        a_document_is_kept_once_per_workspace,
        a_key_opens_its_workspace_until_it_is_deleted,
        a_secret_is_replaced,
        workspaces_are_listed_oldest_first,
        a_deadline_passes_while_its_render_lives,
        an_artifact_is_kept_until_it_is_deleted;
}
