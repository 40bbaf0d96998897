-- What there is for every delivery is less. Ids of events and deliveries are 16 bytes; an endpoint's lane has a number. A
-- delivery's row is written once and never changed: what has not been delivered stands in a table of its own, queue by
-- queue, in the order in which it is sent. Once delivered it leaves that, and its attempts tell the rest.
-- id_bytes() comes with the program: it reads an id's text.

CREATE TABLE new_lanes (
    endpoint_id   TEXT NOT NULL PRIMARY KEY REFERENCES endpoints (id),
    number        INTEGER NOT NULL UNIQUE CHECK (number >= 1),
    node_id       TEXT,
    fence         INTEGER NOT NULL CHECK (fence >= 0),
    revised       INTEGER NOT NULL,
    failure_count INTEGER NOT NULL CHECK (failure_count >= 0),
    failing_since INTEGER,
    failed_with   TEXT,
    probe_at      INTEGER,
    paused_until  INTEGER,
    CHECK ((failure_count = 0) = (failing_since IS NULL))
) STRICT, WITHOUT ROWID;
INSERT INTO new_lanes (endpoint_id, number, node_id, fence, revised, failure_count, failing_since, failed_with, probe_at, paused_until)
SELECT endpoint_id, ROW_NUMBER() OVER (ORDER BY endpoint_id), node_id, fence, revised, failure_count, failing_since, failed_with, probe_at, paused_until
FROM lanes;
DROP TABLE lanes;
ALTER TABLE new_lanes RENAME TO lanes;
INSERT INTO settings (name, value) SELECT 'lanes', CAST(COUNT(*) AS TEXT) FROM lanes HAVING COUNT(*) > 0;

CREATE TABLE new_events (
    sequence      INTEGER PRIMARY KEY AUTOINCREMENT,
    id            BLOB NOT NULL UNIQUE,
    experiment_id INTEGER NOT NULL,
    revision      INTEGER NOT NULL,
    type          TEXT NOT NULL,
    occurred_at   INTEGER NOT NULL,
    data          TEXT NOT NULL,
    detailed      TEXT NOT NULL,
    UNIQUE (experiment_id, revision)
) STRICT;
INSERT INTO new_events (sequence, id, experiment_id, revision, type, occurred_at, data, detailed)
SELECT sequence, id_bytes(id), experiment_id, revision, type, occurred_at, data, detailed FROM events;
-- The newest may have been pruned; nobody's cursor may meet their numbers again.
CREATE TEMP TABLE kept_sequence AS SELECT seq FROM sqlite_sequence WHERE name = 'events';
DROP TABLE events;
ALTER TABLE new_events RENAME TO events;
DELETE FROM sqlite_sequence WHERE name = 'events';
INSERT INTO sqlite_sequence (name, seq) SELECT 'events', seq FROM temp.kept_sequence;
DROP TABLE temp.kept_sequence;

-- is_apart is 0 where the id begins with the event's: see DeliveryId::of_event. Those of older versions do not.
CREATE TABLE new_deliveries (
    id            BLOB NOT NULL PRIMARY KEY,
    event_id      BLOB NOT NULL,
    lane          INTEGER NOT NULL,
    experiment_id INTEGER NOT NULL,
    revision      INTEGER NOT NULL,
    origin        TEXT NOT NULL CHECK (origin IN ('change', 'resend', 'replay')),
    is_apart      INTEGER NOT NULL CHECK (is_apart IN (0, 1)),
    created_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO new_deliveries (id, event_id, lane, experiment_id, revision, origin, is_apart, created_at)
SELECT id_bytes(d.id), id_bytes(d.event_id), l.number, d.experiment_id, d.revision, d.origin, 1, d.created_at
FROM deliveries d JOIN lanes l ON l.endpoint_id = d.endpoint_id;

CREATE TABLE undelivered (
    lane          INTEGER NOT NULL,
    queue         TEXT NOT NULL CHECK (queue IN ('live', 'behind', 'exhausted', 'cancelled')),
    experiment_id INTEGER NOT NULL,
    revision      INTEGER NOT NULL,
    delivery_id   BLOB NOT NULL,
    event_id      BLOB NOT NULL,
    is_resent     INTEGER NOT NULL CHECK (is_resent IN (0, 1)),
    attempt_count INTEGER NOT NULL CHECK (attempt_count >= 0),
    failure_count INTEGER NOT NULL CHECK (failure_count >= 0),
    due_at        INTEGER NOT NULL,
    ended_at      INTEGER,
    reason        TEXT,
    PRIMARY KEY (lane, queue, experiment_id, revision, delivery_id),
    CHECK ((queue IN ('live', 'behind')) = (ended_at IS NULL))
) STRICT, WITHOUT ROWID;
INSERT INTO undelivered (lane, queue, experiment_id, revision, delivery_id, event_id, is_resent, attempt_count, failure_count, due_at, ended_at, reason)
SELECT l.number, CASE WHEN d.state <> 'pending' THEN d.state WHEN d.is_behind = 1 THEN 'behind' ELSE 'live' END,
    d.experiment_id, d.revision, id_bytes(d.id), id_bytes(d.event_id), d.origin = 'resend', d.attempt_count, d.failure_count, d.due_at,
    d.ended_at, d.reason
FROM deliveries d JOIN lanes l ON l.endpoint_id = d.endpoint_id WHERE d.state <> 'delivered';

DROP TABLE deliveries;
ALTER TABLE new_deliveries RENAME TO deliveries;
CREATE INDEX deliveries_lane ON deliveries (lane, id);
CREATE INDEX deliveries_apart ON deliveries (event_id) WHERE is_apart = 1;
CREATE INDEX undelivered_failed ON undelivered (lane, due_at) WHERE failure_count > 0 AND ended_at IS NULL;

CREATE TABLE new_attempts (
    delivery_id   BLOB NOT NULL,
    number        INTEGER NOT NULL CHECK (number >= 1),
    started_at    INTEGER NOT NULL,
    duration_us   INTEGER NOT NULL CHECK (duration_us >= 0),
    status_code   INTEGER,
    error_class   TEXT,
    error         TEXT,
    response_body TEXT,
    PRIMARY KEY (delivery_id, number)
) STRICT, WITHOUT ROWID;
INSERT INTO new_attempts (delivery_id, number, started_at, duration_us, status_code, error_class, error, response_body)
SELECT id_bytes(delivery_id), number, started_at, duration_us, status_code, error_class, error, response_body FROM attempts;
DROP TABLE attempts;
ALTER TABLE new_attempts RENAME TO attempts;
