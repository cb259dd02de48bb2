-- The log and the command side's own tables. Version 1.
-- Instants are microseconds since 1970, UTC. Identifiers are their text, compared by bytes; event ids are their 16
-- bytes, digests their 32. Texts that come from requests are bytes too: PostgreSQL's TEXT cannot hold every character.

CREATE TABLE events (
    position       BIGINT   PRIMARY KEY,
    event_id       BYTEA    NOT NULL UNIQUE CHECK (octet_length(event_id) = 16),
    stream_id      TEXT     COLLATE "C" NOT NULL,
    stream_version BIGINT   NOT NULL CHECK (stream_version > 0),
    type           TEXT     COLLATE "C" NOT NULL,
    schema_version INTEGER  NOT NULL,
    workspace_id   TEXT     COLLATE "C" NOT NULL,
    correlation_id BYTEA    NOT NULL,
    causation_id   BYTEA,
    actor          BYTEA    NOT NULL,
    traceparent    BYTEA,
    recorded_at    BIGINT   NOT NULL,
    data           BYTEA    NOT NULL,
    hash           BYTEA    NOT NULL CHECK (octet_length(hash) = 32),
    UNIQUE (stream_id, stream_version)
);

-- A workspace's events in the log's order.
CREATE INDEX events_by_workspace ON events (workspace_id, position);

-- JSON of some hundred bytes: compressing each by itself gains little and costs every reader.
ALTER TABLE events ALTER COLUMN data SET STORAGE EXTERNAL;

-- Whoever appends locks this row first: it stands for the end of the log.
CREATE TABLE log_head (
    the_only_one BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (the_only_one)
);
INSERT INTO log_head DEFAULT VALUES;

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% are never changed: % is refused', TG_TABLE_NAME, TG_OP;
END
$$;

CREATE TRIGGER events_are_never_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON events
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER the_head_stays BEFORE DELETE OR TRUNCATE ON log_head
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- A gap would stop every reader.
CREATE FUNCTION check_positions() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    first BIGINT;
    last  BIGINT;
    added BIGINT;
    free  BIGINT;
BEGIN
    SELECT min(position), max(position), count(*) INTO first, last, added FROM added_events;
    SELECT coalesce(max(position), 0) + 1 INTO free FROM events WHERE position < first;
    IF first <> free OR last - first + 1 <> added THEN
        RAISE EXCEPTION 'positions have no gaps: % to % were added where % was free', first, last, free;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER positions_have_no_gaps AFTER INSERT ON events
REFERENCING NEW TABLE AS added_events
FOR EACH STATEMENT EXECUTE FUNCTION check_positions();

CREATE TABLE documents (
    workspace_id TEXT  COLLATE "C" NOT NULL,
    sha256       BYTEA NOT NULL CHECK (octet_length(sha256) = 32),
    bytes        BYTEA NOT NULL,
    PRIMARY KEY (workspace_id, sha256)
);

-- What is sealed does not shrink.
ALTER TABLE documents ALTER COLUMN bytes SET STORAGE EXTERNAL;

CREATE TABLE idempotency (
    workspace_id TEXT   COLLATE "C" NOT NULL,
    path         TEXT   COLLATE "C" NOT NULL,
    key_sha256   BYTEA  NOT NULL CHECK (octet_length(key_sha256) = 32),
    body_sha256  BYTEA  NOT NULL CHECK (octet_length(body_sha256) = 32),
    stream_id    TEXT   COLLATE "C" NOT NULL,
    expires_at   BIGINT NOT NULL,
    PRIMARY KEY (workspace_id, path, key_sha256)
);

CREATE INDEX idempotency_by_end ON idempotency (expires_at);

CREATE TABLE leases (
    render_id  TEXT   COLLATE "C" NOT NULL,
    slot       TEXT   COLLATE "C" NOT NULL,
    token      BIGINT NOT NULL,
    ttl_ms     BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (render_id, slot)
);

CREATE INDEX leases_by_end ON leases (expires_at);

-- `arrival` orders what came at the same instant.
CREATE TABLE work_queue (
    arrival      BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    render_id    TEXT    COLLATE "C" NOT NULL,
    slot         TEXT    COLLATE "C" NOT NULL,
    workspace_id TEXT    COLLATE "C" NOT NULL,
    priority     INTEGER NOT NULL,
    fingerprint  BYTEA,
    not_before   BIGINT,
    begun        BOOLEAN NOT NULL,
    enqueued_at  BIGINT  NOT NULL,
    UNIQUE (render_id, slot)
);

-- Work on renders that were begun goes before work that begins one; within each, the oldest render first.
CREATE INDEX work_queue_by_turn ON work_queue (begun, priority DESC, render_id);
CREATE INDEX work_queue_by_workspace ON work_queue (workspace_id, begun, priority DESC, render_id, arrival);

-- A render from its submission to its end. `begun`: a worker has held a slot of it.
CREATE TABLE renders (
    render_id    TEXT    COLLATE "C" PRIMARY KEY,
    workspace_id TEXT    COLLATE "C" NOT NULL,
    deadline     BIGINT,
    begun        BOOLEAN NOT NULL DEFAULT FALSE
);

CREATE INDEX renders_by_deadline ON renders (deadline) WHERE deadline IS NOT NULL;
CREATE INDEX renders_begun ON renders (workspace_id) WHERE begun;

-- A completed render whose artifact has not been deleted.
CREATE TABLE artifacts (
    render_id   TEXT   COLLATE "C" PRIMARY KEY,
    finished_at BIGINT NOT NULL
);

CREATE INDEX artifacts_by_age ON artifacts (finished_at);

CREATE TABLE api_keys (
    key_sha256   BYTEA PRIMARY KEY CHECK (octet_length(key_sha256) = 32),
    key_id       TEXT  COLLATE "C" NOT NULL,
    workspace_id TEXT  COLLATE "C" NOT NULL
);

-- `concurrency`: how many of its renders may be in work at once; NULL: as many as the installation's setting says.
CREATE TABLE workspaces (
    arrival      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workspace_id TEXT   COLLATE "C" NOT NULL UNIQUE,
    concurrency  BIGINT
);

CREATE TABLE secrets (
    workspace_id TEXT  COLLATE "C" NOT NULL,
    name         TEXT  COLLATE "C" NOT NULL,
    bytes        BYTEA NOT NULL,
    PRIMARY KEY (workspace_id, name)
);
