-- People who use the console, and how they are let in. Only hashes of what lets them in are kept.
CREATE TABLE people (
    id         TEXT NOT NULL PRIMARY KEY,
    number     BIGINT NOT NULL DEFAULT 0,
    name       TEXT NOT NULL UNIQUE,
    body       TEXT NOT NULL,
    version    BIGINT NOT NULL CHECK (version >= 1),
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    sort_name  TEXT COLLATE "C" NOT NULL DEFAULT '',
    words      TEXT NOT NULL DEFAULT ''
);

CREATE INDEX people_by_name ON people (sort_name, id);
CREATE INDEX people_by_created_at ON people (created_at, id);
CREATE INDEX people_by_updated_at ON people (updated_at, id);

CREATE TABLE login_links (
    id         TEXT NOT NULL PRIMARY KEY,
    person_id  TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    hash       BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX login_links_person ON login_links (person_id);
CREATE INDEX login_links_expiry ON login_links (expires_at);

CREATE TABLE sessions (
    id           TEXT NOT NULL PRIMARY KEY,
    person_id    TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    hash         BYTEA NOT NULL,
    client       TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL
);

CREATE INDEX sessions_person ON sessions (person_id, id);
CREATE INDEX sessions_expiry ON sessions (expires_at);

-- What was changed is listed in order of time, whatever it was.
ALTER TABLE definition_changes ALTER COLUMN definition_id TYPE TEXT COLLATE "C";
ALTER TABLE endpoint_changes ALTER COLUMN endpoint_id TYPE TEXT COLLATE "C";
ALTER TABLE endpoint_changes ALTER COLUMN id TYPE TEXT COLLATE "C";
CREATE INDEX changes_by_time ON changes (occurred_at, experiment_id, revision);
CREATE INDEX definition_changes_by_time ON definition_changes (occurred_at, definition_id, version);
CREATE INDEX endpoint_changes_by_time ON endpoint_changes (occurred_at, id);

-- Requests that were carried out under a key of the client's choice, with what was answered (sealed), to be answered so again.
CREATE TABLE idempotency_keys (
    holder     TEXT NOT NULL,
    key        TEXT NOT NULL,
    request    BYTEA NOT NULL,
    answer     BYTEA,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (holder, key)
);

CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);
