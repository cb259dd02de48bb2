-- Version 2: what nodes agree on beside the log. Nothing here is history: the tables may be emptied at any time.

-- Duties that one node at a time should have. `until`: microseconds since 1970, by this server's clock.
CREATE TABLE duties (
    duty  TEXT   COLLATE "C" PRIMARY KEY,
    node  TEXT   COLLATE "C" NOT NULL,
    until BIGINT NOT NULL
);

-- When a worker with an engine was last heard of by any node.
CREATE TABLE engines (
    engine   TEXT   COLLATE "C" PRIMARY KEY,
    heard_at BIGINT NOT NULL
);
