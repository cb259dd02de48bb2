-- Version 3: a workspace's events in the log's order (the position is the index's last column by itself).
CREATE INDEX events_by_workspace ON events (workspace_id);
