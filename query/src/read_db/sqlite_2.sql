-- Version 2. What callers wrote (metadata, webhook addresses and bodies) is sealed with their workspace's key: throwing
-- the key away erases it here too. Attempts are listed from the moment they are planned.

-- One row per job, made anew from the log.
DELETE FROM projection WHERE name = 'render_jobs';
DROP TABLE render_jobs;
CREATE TABLE render_jobs (
    generation   INTEGER NOT NULL,
    render_id    TEXT    NOT NULL,
    position     INTEGER NOT NULL, -- of its first event: the order of lists
    workspace_id TEXT    NOT NULL,
    status       TEXT    NOT NULL,
    created_at   INTEGER NOT NULL, -- microseconds since 1970
    view         TEXT    NOT NULL, -- JobView
    metadata     BLOB    NOT NULL, -- the caller's, sealed; empty: none
    PRIMARY KEY (generation, render_id)
) STRICT;
CREATE UNIQUE INDEX render_jobs_newest ON render_jobs (generation, workspace_id, position);
CREATE INDEX render_jobs_status ON render_jobs (generation, workspace_id, status, position);

-- One row per pair of a job's metadata: what lists filter by.
CREATE TABLE render_job_metadata (
    generation INTEGER NOT NULL,
    pair       BLOB    NOT NULL, -- a keyed digest of workspace, key and value
    position   INTEGER NOT NULL, -- the job's
    PRIMARY KEY (generation, pair, position)
) STRICT, WITHOUT ROWID;

-- One row per event and endpoint: what is to be sent, once made and never made again.
DROP TABLE webhook_deliveries;
CREATE TABLE webhook_deliveries (
    delivery_id  TEXT    NOT NULL PRIMARY KEY,
    event_id     TEXT    NOT NULL,
    endpoint     TEXT    NOT NULL, -- SHA-256 of the address
    host         TEXT    NOT NULL, -- SHA-256 of its host and port
    workspace_id TEXT    NOT NULL,
    job_id       TEXT    NOT NULL,
    event_type   TEXT    NOT NULL,
    sequence     INTEGER NOT NULL,
    url          BLOB    NOT NULL, -- sealed
    body         BLOB    NOT NULL, -- sealed
    created_at   INTEGER NOT NULL,
    fleeting     INTEGER NOT NULL, -- 1: progress, worth nothing once there is newer news
    status       TEXT    NOT NULL CHECK (status IN ('pending', 'succeeded', 'dead', 'skipped', 'dropped')),
    attempts     INTEGER NOT NULL DEFAULT 0,
    due_at       INTEGER NOT NULL,
    claim        TEXT,             -- of the dispatcher that is sending it now
    claim_until  INTEGER,
    UNIQUE (event_id, endpoint)
) STRICT;
CREATE INDEX webhook_deliveries_turn ON webhook_deliveries (fleeting, endpoint, due_at, sequence)
    WHERE status = 'pending';
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (due_at) WHERE status = 'pending' AND claim IS NULL;
CREATE INDEX webhook_deliveries_claimed ON webhook_deliveries (claim_until) WHERE claim IS NOT NULL;
CREATE INDEX webhook_deliveries_over ON webhook_deliveries (created_at) WHERE status <> 'pending';
CREATE INDEX webhook_deliveries_job ON webhook_deliveries (job_id);

-- One row per attempt, made or planned.
DROP TABLE webhook_attempts;
CREATE TABLE webhook_attempts (
    arrival        INTEGER PRIMARY KEY, -- the order of lists
    delivery_id    TEXT    NOT NULL,
    job_id         TEXT    NOT NULL,
    attempt_number INTEGER NOT NULL,
    status         TEXT    NOT NULL CHECK (status IN ('pending', 'succeeded', 'failed', 'dead')),
    status_code    INTEGER,
    response_body  BLOB,    -- its first KiB
    reason         TEXT,    -- where no answer came
    latency_ms     INTEGER,
    attempted_at   INTEGER,
    next_retry_at  INTEGER,
    created_at     INTEGER NOT NULL,
    UNIQUE (delivery_id, attempt_number)
) STRICT;
CREATE INDEX webhook_attempts_job ON webhook_attempts (job_id, arrival);
