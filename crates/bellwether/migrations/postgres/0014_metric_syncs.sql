-- What files declare of fact sources and metrics, under a tag, and what became of it.
CREATE TABLE metric_syncs (
    id         BIGINT NOT NULL PRIMARY KEY,
    sync_tag   TEXT NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('pending', 'success', 'failed')),
    digest     TEXT NOT NULL,
    errors     TEXT NOT NULL,
    remaining  TEXT NOT NULL,
    actor      TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    ended_at   BIGINT
);

CREATE INDEX metric_syncs_by_tag ON metric_syncs (sync_tag, id);
CREATE INDEX metric_syncs_pending ON metric_syncs (id) WHERE state = 'pending';

-- By which sync they are kept, if by one.
ALTER TABLE metrics ADD COLUMN sync_tag TEXT;
ALTER TABLE fact_sources ADD COLUMN sync_tag TEXT;
CREATE INDEX metrics_by_sync ON metrics (sync_tag) WHERE sync_tag IS NOT NULL;
CREATE INDEX fact_sources_by_sync ON fact_sources (sync_tag) WHERE sync_tag IS NOT NULL;

-- Those that were deleted are listed, too.
CREATE INDEX experiments_deleted ON experiments (id) WHERE deleted_at IS NOT NULL;
