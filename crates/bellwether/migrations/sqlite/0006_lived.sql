-- Time that was lived through, and what the wall clock said meanwhile: what is old is told by these, never by the wall
-- clock alone. Of every hour that was lived through, the earliest time that the wall clock showed in it.
CREATE TABLE lived_hours (
    hour     INTEGER NOT NULL PRIMARY KEY,
    earliest INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- How many seconds had been lived through when the endpoint began to fail, and which delivery was tried last since.
ALTER TABLE lanes ADD COLUMN failing_lived INTEGER;
ALTER TABLE lanes ADD COLUMN last_tried BLOB;

ALTER TABLE attempts ADD COLUMN request_headers TEXT;
ALTER TABLE attempts ADD COLUMN response_headers TEXT;

-- The endpoint's own authorities and client certificate, encrypted.
ALTER TABLE endpoints ADD COLUMN tls BLOB;
