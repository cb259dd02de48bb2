-- Version 5: deliveries to a workspace's own endpoints, beside those to a job's webhook_url (whose webhook_id is null).
ALTER TABLE webhook_deliveries ADD COLUMN webhook_id TEXT;
ALTER TABLE webhook_attempts ADD COLUMN webhook_id TEXT;
CREATE INDEX webhook_attempts_webhook ON webhook_attempts (webhook_id, arrival) WHERE webhook_id IS NOT NULL;

-- How each endpoint has been doing.
CREATE TABLE webhook_endpoints (
    webhook_id       TEXT    NOT NULL PRIMARY KEY,
    last_delivery_at INTEGER NOT NULL, -- the last attempt
    failing_since    INTEGER           -- the first attempt that failed since the last one that arrived
) STRICT, WITHOUT ROWID;
