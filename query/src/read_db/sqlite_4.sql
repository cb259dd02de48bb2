-- Version 4: how far traces have been sent. No row: nobody has asked for traces yet.
CREATE TABLE trace_export (
    only         INTEGER NOT NULL PRIMARY KEY CHECK (only = 1),
    position     INTEGER NOT NULL, -- the last event looked at
    attempted_at INTEGER NOT NULL  -- webhook attempts made before this instant have been looked at
) STRICT;
CREATE INDEX webhook_attempts_made ON webhook_attempts (attempted_at) WHERE attempted_at IS NOT NULL;
