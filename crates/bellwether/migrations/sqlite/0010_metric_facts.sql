-- All facts that a metric is of: a funnel has more of them than there are columns.
CREATE TABLE metric_facts (
    metric_id TEXT NOT NULL REFERENCES metrics (id),
    fact_id   TEXT NOT NULL REFERENCES facts (id),
    PRIMARY KEY (metric_id, fact_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX metric_facts_of_fact ON metric_facts (fact_id);

INSERT INTO metric_facts (metric_id, fact_id)
    SELECT id, fact_id FROM metrics
    UNION
    SELECT id, denominator_fact_id FROM metrics WHERE denominator_fact_id IS NOT NULL;
