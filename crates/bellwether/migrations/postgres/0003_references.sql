-- Deliveries and attempts refer to their rows by no foreign key any more. Each cost a query and a lock for every row that
-- was written: on the endpoint's row a lock that all changes share, and so a multixact for each. What they guarded is
-- guarded otherwise: an event is written with its deliveries, or held while another delivery of it is written; endpoints
-- are never removed; and an attempt is written where its delivery was moved, or held (see src/store/outcomes.rs and
-- src/store/retention.rs).
-- A change is written with its experiment's row locked, and experiments are never removed either.
ALTER TABLE attempts DROP CONSTRAINT attempts_delivery_id_fkey;
ALTER TABLE changes DROP CONSTRAINT changes_experiment_id_fkey;
ALTER TABLE deliveries DROP CONSTRAINT deliveries_event_id_fkey, DROP CONSTRAINT deliveries_endpoint_id_fkey;

-- Nor has what every change writes any CHECK: PostgreSQL reads the text of each anew in every statement, which took an
-- eighth of its time under load. The same rules stand in SQLite's schema, on which every test runs too.
DO $$
DECLARE found RECORD;
BEGIN
    FOR found IN
        SELECT conrelid::regclass AS relation, conname FROM pg_constraint
        WHERE contype = 'c' AND conrelid IN ('experiments'::regclass, 'changes'::regclass, 'deliveries'::regclass, 'attempts'::regclass)
    LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', found.relation, found.conname);
    END LOOP;
END $$;
