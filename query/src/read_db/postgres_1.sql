-- The read models in PostgreSQL, version 1: what the SQLite file's version 5 holds. Everything here can be made again from
-- the log, except what happened to deliveries. Instants are microseconds since 1970; flags are 0 and 1.

-- Each projection's generations and how far they have come. Readers see the live one.
CREATE TABLE projection (
    name       TEXT   COLLATE "C" NOT NULL,
    generation BIGINT NOT NULL,
    version    BIGINT NOT NULL, -- of the code that makes the rows
    position   BIGINT NOT NULL, -- the last event applied
    live       BIGINT NOT NULL,
    PRIMARY KEY (name, generation)
);
CREATE UNIQUE INDEX projection_live ON projection (name) WHERE live = 1;

-- One row per job.
CREATE TABLE render_jobs (
    generation   BIGINT NOT NULL,
    render_id    TEXT   COLLATE "C" NOT NULL,
    position     BIGINT NOT NULL, -- of its first event: the order of lists
    workspace_id TEXT   COLLATE "C" NOT NULL,
    status       TEXT   COLLATE "C" NOT NULL,
    created_at   BIGINT NOT NULL,
    view         TEXT   COLLATE "C" NOT NULL, -- JobView
    metadata     BYTEA  NOT NULL, -- the caller's, sealed; empty: none
    PRIMARY KEY (generation, render_id)
);
CREATE UNIQUE INDEX render_jobs_newest ON render_jobs (generation, workspace_id, position);
CREATE INDEX render_jobs_status ON render_jobs (generation, workspace_id, status, position);

-- One row per pair of a job's metadata: what lists filter by.
CREATE TABLE render_job_metadata (
    generation BIGINT NOT NULL,
    pair       BYTEA  NOT NULL, -- a keyed digest of workspace, key and value
    position   BIGINT NOT NULL, -- the job's
    PRIMARY KEY (generation, pair, position)
);

-- What workspaces use, in calendar months (UTC). `period_start` is a month's first instant.
CREATE TABLE usage (
    generation   BIGINT NOT NULL,
    workspace_id TEXT   COLLATE "C" NOT NULL,
    period_start BIGINT NOT NULL,
    film_us      BIGINT NOT NULL, -- microseconds of finished film
    tasks        BIGINT NOT NULL, -- media tasks submitted
    PRIMARY KEY (generation, workspace_id, period_start)
);

-- Not from the log: downloads are no events.
CREATE TABLE egress (
    workspace_id TEXT   COLLATE "C" NOT NULL,
    period_start BIGINT NOT NULL,
    bytes        BIGINT NOT NULL,
    PRIMARY KEY (workspace_id, period_start)
);

-- One row per event and endpoint: what is to be sent, once made and never made again.
CREATE TABLE webhook_deliveries (
    delivery_id  TEXT   COLLATE "C" PRIMARY KEY,
    event_id     TEXT   COLLATE "C" NOT NULL,
    endpoint     TEXT   COLLATE "C" NOT NULL, -- SHA-256 of the address, or of the endpoint's name
    host         TEXT   COLLATE "C" NOT NULL, -- SHA-256 of its host and port
    workspace_id TEXT   COLLATE "C" NOT NULL,
    job_id       TEXT   COLLATE "C" NOT NULL,
    event_type   TEXT   COLLATE "C" NOT NULL,
    sequence     BIGINT NOT NULL,
    url          BYTEA  NOT NULL, -- sealed
    body         BYTEA  NOT NULL, -- sealed
    created_at   BIGINT NOT NULL,
    fleeting     BIGINT NOT NULL, -- 1: progress, worth nothing once there is newer news
    status       TEXT   COLLATE "C" NOT NULL CHECK (status IN ('pending', 'succeeded', 'dead', 'skipped', 'dropped')),
    attempts     BIGINT NOT NULL DEFAULT 0,
    due_at       BIGINT NOT NULL,
    claim        TEXT   COLLATE "C", -- of the dispatcher that is sending it now
    claim_until  BIGINT,
    webhook_id   TEXT   COLLATE "C", -- of a workspace's own endpoint; NULL: a job's webhook_url
    UNIQUE (event_id, endpoint)
);
-- What is sealed does not shrink.
ALTER TABLE webhook_deliveries ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE INDEX webhook_deliveries_turn ON webhook_deliveries (fleeting, endpoint, due_at, sequence)
    WHERE status = 'pending';
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (due_at) WHERE status = 'pending' AND claim IS NULL;
CREATE INDEX webhook_deliveries_claimed ON webhook_deliveries (claim_until) WHERE claim IS NOT NULL;
CREATE INDEX webhook_deliveries_over ON webhook_deliveries (created_at) WHERE status <> 'pending';
CREATE INDEX webhook_deliveries_job ON webhook_deliveries (job_id);

-- One row per attempt, made or planned.
CREATE TABLE webhook_attempts (
    arrival        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- the order of lists
    delivery_id    TEXT   COLLATE "C" NOT NULL,
    job_id         TEXT   COLLATE "C" NOT NULL,
    webhook_id     TEXT   COLLATE "C",
    attempt_number BIGINT NOT NULL,
    status         TEXT   COLLATE "C" NOT NULL CHECK (status IN ('pending', 'succeeded', 'failed', 'dead')),
    status_code    BIGINT,
    response_body  BYTEA, -- its first KiB
    reason         TEXT,  -- where no answer came
    latency_ms     BIGINT,
    attempted_at   BIGINT,
    next_retry_at  BIGINT,
    created_at     BIGINT NOT NULL,
    UNIQUE (delivery_id, attempt_number)
);
CREATE INDEX webhook_attempts_job ON webhook_attempts (job_id, arrival);
CREATE INDEX webhook_attempts_webhook ON webhook_attempts (webhook_id, arrival) WHERE webhook_id IS NOT NULL;
CREATE INDEX webhook_attempts_made ON webhook_attempts (attempted_at) WHERE attempted_at IS NOT NULL;

-- How each endpoint has been doing.
CREATE TABLE webhook_endpoints (
    webhook_id       TEXT   COLLATE "C" PRIMARY KEY,
    last_delivery_at BIGINT NOT NULL, -- the last attempt
    failing_since    BIGINT           -- the first attempt that failed since the last one that arrived
);

-- How far traces have been sent. No row: nobody has asked for traces yet.
CREATE TABLE trace_export (
    "only"       BIGINT PRIMARY KEY CHECK ("only" = 1),
    position     BIGINT NOT NULL, -- the last event looked at
    attempted_at BIGINT NOT NULL  -- webhook attempts made before this instant have been looked at
);
