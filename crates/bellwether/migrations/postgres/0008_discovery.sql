-- What was last seen in an assignment source: which experiments it has rows of.
CREATE TABLE assignment_scans (
    assignment_source_id TEXT   NOT NULL PRIMARY KEY REFERENCES assignment_sources (id) ON DELETE CASCADE,
    body                 TEXT   NOT NULL,
    scanned_at           BIGINT NOT NULL
);

-- How many statements a run is expected to have, once that is known.
ALTER TABLE runs ADD COLUMN steps_expected BIGINT;
