-- Version 3: what workspaces use, in calendar months (UTC). `period_start` is a month's first instant.

CREATE TABLE usage (
    generation   INTEGER NOT NULL,
    workspace_id TEXT    NOT NULL,
    period_start INTEGER NOT NULL,
    film_us      INTEGER NOT NULL, -- microseconds of finished film
    tasks        INTEGER NOT NULL, -- media tasks submitted
    PRIMARY KEY (generation, workspace_id, period_start)
) STRICT, WITHOUT ROWID;

-- Not from the log: downloads are no events.
CREATE TABLE egress (
    workspace_id TEXT    NOT NULL,
    period_start INTEGER NOT NULL,
    bytes        INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, period_start)
) STRICT, WITHOUT ROWID;
