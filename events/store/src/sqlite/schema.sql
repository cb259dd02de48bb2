-- The log and the command side's own tables. Version 1.
-- Instants are microseconds since 1970, UTC. Identifiers are their text; event ids are their 16 bytes, digests their 32.

CREATE TABLE events (
    position       INTEGER PRIMARY KEY,
    event_id       BLOB    NOT NULL UNIQUE CHECK (length(event_id) = 16),
    stream_id      TEXT    NOT NULL,
    stream_version INTEGER NOT NULL CHECK (stream_version > 0),
    type           TEXT    NOT NULL,
    schema_version INTEGER NOT NULL,
    workspace_id   TEXT    NOT NULL,
    correlation_id TEXT    NOT NULL,
    causation_id   BLOB,
    actor          TEXT    NOT NULL,
    traceparent    TEXT,
    recorded_at    INTEGER NOT NULL,
    data           BLOB    NOT NULL,
    hash           BLOB    NOT NULL CHECK (length(hash) = 32),
    UNIQUE (stream_id, stream_version)
) STRICT;

CREATE TRIGGER events_are_never_updated BEFORE UPDATE ON events
BEGIN
    SELECT RAISE(ABORT, 'events are never updated');
END;

CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events
BEGIN
    SELECT RAISE(ABORT, 'events are never deleted');
END;

-- A gap would stop every reader, and replacing a row (which fires no DELETE trigger) would take a used position.
CREATE TRIGGER positions_have_no_gaps BEFORE INSERT ON events
WHEN NEW.position <> (SELECT coalesce(max(position), 0) + 1 FROM events)
BEGIN
    SELECT RAISE(ABORT, 'positions have no gaps');
END;

CREATE TABLE documents (
    workspace_id TEXT NOT NULL,
    sha256       BLOB NOT NULL CHECK (length(sha256) = 32),
    bytes        BLOB NOT NULL,
    UNIQUE (workspace_id, sha256)
) STRICT;

CREATE TABLE idempotency (
    workspace_id TEXT    NOT NULL,
    path         TEXT    NOT NULL,
    key_sha256   BLOB    NOT NULL CHECK (length(key_sha256) = 32),
    body_sha256  BLOB    NOT NULL CHECK (length(body_sha256) = 32),
    stream_id    TEXT    NOT NULL,
    expires_at   INTEGER NOT NULL,
    UNIQUE (workspace_id, path, key_sha256)
) STRICT;

CREATE INDEX idempotency_by_end ON idempotency (expires_at);

CREATE TABLE leases (
    render_id  TEXT    NOT NULL,
    slot       TEXT    NOT NULL,
    token      INTEGER NOT NULL,
    ttl_ms     INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (render_id, slot)
) STRICT, WITHOUT ROWID;

CREATE INDEX leases_by_end ON leases (expires_at);

-- `arrival` orders what came at the same instant.
CREATE TABLE work_queue (
    arrival      INTEGER PRIMARY KEY,
    render_id    TEXT    NOT NULL,
    slot         TEXT    NOT NULL,
    workspace_id TEXT    NOT NULL,
    priority     INTEGER NOT NULL,
    fingerprint  TEXT,
    not_before   INTEGER,
    enqueued_at  INTEGER NOT NULL,
    UNIQUE (render_id, slot)
) STRICT;

CREATE INDEX work_queue_by_turn ON work_queue (priority DESC, enqueued_at, arrival);
CREATE INDEX work_queue_by_workspace ON work_queue (workspace_id, priority DESC, enqueued_at, arrival, not_before);

CREATE TABLE api_keys (
    key_sha256   BLOB NOT NULL PRIMARY KEY CHECK (length(key_sha256) = 32),
    key_id       TEXT NOT NULL,
    workspace_id TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE workspaces (
    arrival      INTEGER PRIMARY KEY,
    workspace_id TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE secrets (
    workspace_id TEXT NOT NULL,
    name         TEXT NOT NULL,
    bytes        BLOB NOT NULL,
    PRIMARY KEY (workspace_id, name)
) STRICT, WITHOUT ROWID;
