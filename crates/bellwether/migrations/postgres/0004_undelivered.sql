-- What there is for every delivery is less. Ids of events and deliveries are 16 bytes; an endpoint's lane has a number. A
-- delivery's row is written once and never changed: what has not been delivered stands in a table of its own, queue by
-- queue, in the order in which it is sent. Once delivered it leaves that, and its attempts tell the rest. An UPDATE of a
-- delivery wrote all of its indexes anew, for each of them told of its state.

-- Reads an id's text: 26 digits of 5 bits, of which the first two are none of the id's.
CREATE FUNCTION pg_temp.id_bytes(id TEXT) RETURNS UUID LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    digits TEXT := split_part(id, '_', 2);
    bits BIT VARYING := B'';
    hex TEXT := '';
BEGIN
    FOR place IN 1..26 LOOP
        bits := bits || (position(substr(digits, place, 1) IN '0123456789abcdefghjkmnpqrstvwxyz') - 1)::BIT(5);
    END LOOP;
    FOR part IN 0..3 LOOP
        hex := hex || lpad(to_hex(substring(bits FROM 3 + 32 * part FOR 32)::BIT(32)::BIGINT), 8, '0');
    END LOOP;
    RETURN hex::UUID;
END $$;

ALTER TABLE lanes ADD COLUMN number BIGINT;
UPDATE lanes SET number = numbered.number
FROM (SELECT endpoint_id, ROW_NUMBER() OVER (ORDER BY endpoint_id) AS number FROM lanes) numbered
WHERE numbered.endpoint_id = lanes.endpoint_id;
ALTER TABLE lanes ALTER COLUMN number SET NOT NULL, ADD UNIQUE (number), ADD CHECK (number >= 1);
INSERT INTO settings (name, value) SELECT 'lanes', CAST(COUNT(*) AS TEXT) FROM lanes HAVING COUNT(*) > 0;

ALTER TABLE events ALTER COLUMN id TYPE UUID USING pg_temp.id_bytes(id);

ALTER TABLE deliveries RENAME TO old_deliveries;
ALTER TABLE old_deliveries RENAME CONSTRAINT deliveries_pkey TO old_deliveries_pkey;
-- is_apart is 0 where the id begins with the event's: see DeliveryId::of_event. Those of older versions do not.
CREATE TABLE deliveries (
    id            UUID NOT NULL PRIMARY KEY,
    event_id      UUID NOT NULL,
    lane          BIGINT NOT NULL,
    experiment_id BIGINT NOT NULL,
    revision      BIGINT NOT NULL,
    origin        TEXT NOT NULL,
    is_apart      BIGINT NOT NULL,
    created_at    BIGINT NOT NULL
);
INSERT INTO deliveries (id, event_id, lane, experiment_id, revision, origin, is_apart, created_at)
SELECT pg_temp.id_bytes(d.id), pg_temp.id_bytes(d.event_id), l.number, d.experiment_id, d.revision, d.origin, 1, d.created_at
FROM old_deliveries d JOIN lanes l ON l.endpoint_id = d.endpoint_id;

CREATE TABLE undelivered (
    lane          BIGINT NOT NULL,
    queue         TEXT COLLATE "C" NOT NULL,
    experiment_id BIGINT NOT NULL,
    revision      BIGINT NOT NULL,
    delivery_id   UUID NOT NULL,
    event_id      UUID NOT NULL,
    is_resent     BIGINT NOT NULL,
    attempt_count BIGINT NOT NULL,
    failure_count BIGINT NOT NULL,
    due_at        BIGINT NOT NULL,
    ended_at      BIGINT,
    reason        TEXT,
    PRIMARY KEY (lane, queue, experiment_id, revision, delivery_id)
);
INSERT INTO undelivered (lane, queue, experiment_id, revision, delivery_id, event_id, is_resent, attempt_count, failure_count, due_at, ended_at, reason)
SELECT l.number, CASE WHEN d.state <> 'pending' THEN d.state WHEN d.is_behind = 1 THEN 'behind' ELSE 'live' END,
    d.experiment_id, d.revision, pg_temp.id_bytes(d.id), pg_temp.id_bytes(d.event_id), CASE WHEN d.origin = 'resend' THEN 1 ELSE 0 END,
    d.attempt_count, d.failure_count, d.due_at, d.ended_at, d.reason
FROM old_deliveries d JOIN lanes l ON l.endpoint_id = d.endpoint_id WHERE d.state <> 'delivered';

DROP TABLE old_deliveries;
CREATE INDEX deliveries_lane ON deliveries (lane, id);
CREATE INDEX deliveries_apart ON deliveries (event_id) WHERE is_apart = 1;
CREATE INDEX undelivered_failed ON undelivered (lane, due_at) WHERE failure_count > 0 AND ended_at IS NULL;

ALTER TABLE attempts ALTER COLUMN delivery_id TYPE UUID USING pg_temp.id_bytes(delivery_id);
