-- Version 2: which renders live and which have been begun, where artifacts lie and since when, and what each workspace
-- may do at once.

-- A render from its submission to its end. `begun`: a worker has held a slot of it.
CREATE TABLE renders (
    render_id    TEXT    NOT NULL PRIMARY KEY,
    workspace_id TEXT    NOT NULL,
    deadline     INTEGER,
    begun        INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE INDEX renders_by_deadline ON renders (deadline) WHERE deadline IS NOT NULL;
CREATE INDEX renders_begun ON renders (workspace_id) WHERE begun = 1;

-- A completed render whose artifact has not been deleted.
CREATE TABLE artifacts (
    render_id   TEXT    NOT NULL PRIMARY KEY,
    finished_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX artifacts_by_age ON artifacts (finished_at);

-- How many renders of the workspace may be in work at once; NULL: as many as the installation's setting says.
ALTER TABLE workspaces ADD COLUMN concurrency INTEGER;

-- Work on renders that were begun goes before work that begins one; within each, the oldest render first.
ALTER TABLE work_queue ADD COLUMN begun INTEGER NOT NULL DEFAULT 0;
DROP INDEX work_queue_by_turn;
DROP INDEX work_queue_by_workspace;
CREATE INDEX work_queue_by_turn ON work_queue (begun, priority DESC, render_id);
CREATE INDEX work_queue_by_workspace
    ON work_queue (workspace_id, begun, priority DESC, render_id, arrival, not_before);

-- What the log tells of the time before.
INSERT INTO renders (render_id, workspace_id, deadline, begun)
    SELECT stream_id, workspace_id, json_extract(CAST(data AS TEXT), '$.deadline'),
        EXISTS (SELECT 1 FROM events AS leased WHERE leased.stream_id = submitted.stream_id AND leased.type = 'LeaseGranted')
    FROM events AS submitted
    WHERE type = 'RenderSubmitted' AND NOT EXISTS (
        SELECT 1 FROM events AS over WHERE over.stream_id = submitted.stream_id
        AND over.type IN ('RenderCompleted', 'RenderFailed', 'RenderCancelled'));
INSERT INTO artifacts (render_id, finished_at)
    SELECT stream_id, recorded_at FROM events WHERE type = 'RenderCompleted';
UPDATE work_queue SET begun = 1 WHERE render_id IN (SELECT render_id FROM renders WHERE begun = 1);
