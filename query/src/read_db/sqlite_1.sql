-- The read models, version 1. Everything here can be made again from the log, except what happened to deliveries.

-- Each projection's generations and how far they have come. Readers see the live one.
CREATE TABLE projection (
    name       TEXT    NOT NULL,
    generation INTEGER NOT NULL,
    version    INTEGER NOT NULL, -- of the code that makes the rows
    position   INTEGER NOT NULL, -- the last event applied
    live       INTEGER NOT NULL,
    PRIMARY KEY (name, generation)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX projection_live ON projection (name) WHERE live = 1;

-- One row per job.
CREATE TABLE render_jobs (
    generation   INTEGER NOT NULL,
    render_id    TEXT    NOT NULL,
    position     INTEGER NOT NULL, -- of its first event: the order of lists
    workspace_id TEXT    NOT NULL,
    status       TEXT    NOT NULL,
    created_at   INTEGER NOT NULL, -- microseconds since 1970
    completed_at INTEGER,
    view         TEXT    NOT NULL, -- JobView
    metadata     TEXT    NOT NULL, -- the caller's, string to string
    webhook      INTEGER NOT NULL, -- whether the job names a webhook_url
    PRIMARY KEY (generation, render_id)
) STRICT;
CREATE UNIQUE INDEX render_jobs_newest ON render_jobs (generation, workspace_id, position);
CREATE INDEX render_jobs_status ON render_jobs (generation, workspace_id, status, position);

-- One row per event and endpoint: what is to be sent, once made and never made again.
CREATE TABLE webhook_deliveries (
    delivery_id  TEXT    NOT NULL PRIMARY KEY,
    event_id     TEXT    NOT NULL,
    endpoint     TEXT    NOT NULL, -- SHA-256 of the address
    workspace_id TEXT    NOT NULL,
    job_id       TEXT    NOT NULL,
    event_type   TEXT    NOT NULL,
    sequence     INTEGER NOT NULL,
    url          TEXT    NOT NULL,
    host         TEXT    NOT NULL, -- host and port: what is spared
    body         BLOB    NOT NULL,
    created_at   INTEGER NOT NULL,
    status       TEXT    NOT NULL CHECK (status IN ('pending', 'succeeded', 'dead', 'skipped')),
    attempts     INTEGER NOT NULL DEFAULT 0,
    due_at       INTEGER NOT NULL,
    claim        TEXT,             -- of the dispatcher that is sending it now
    claim_until  INTEGER,
    UNIQUE (event_id, endpoint)
) STRICT;
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (due_at) WHERE status = 'pending';
CREATE INDEX webhook_deliveries_job ON webhook_deliveries (job_id);

-- One row per attempt.
CREATE TABLE webhook_attempts (
    delivery_id    TEXT    NOT NULL,
    attempt_number INTEGER NOT NULL,
    status         TEXT    NOT NULL CHECK (status IN ('succeeded', 'failed', 'dead')),
    status_code    INTEGER,
    response_body  BLOB    NOT NULL, -- its first KiB
    reason         TEXT,             -- where no answer came
    latency_ms     INTEGER NOT NULL,
    attempted_at   INTEGER NOT NULL,
    next_retry_at  INTEGER,
    PRIMARY KEY (delivery_id, attempt_number)
) STRICT, WITHOUT ROWID;
