-- Deliveries and attempts refer to their rows by no foreign key any more. Each cost a query and a lock for every row that
-- was written: on the endpoint's row a lock that all changes share, and so a multixact for each. What they guarded is
-- guarded otherwise: an event is written with its deliveries, or held while another delivery of it is written; endpoints
-- are never removed; and an attempt is written where its delivery was moved, or held (see src/store/outcomes.rs and
-- src/store/retention.rs).
ALTER TABLE attempts DROP CONSTRAINT attempts_delivery_id_fkey;
ALTER TABLE deliveries DROP CONSTRAINT deliveries_event_id_fkey, DROP CONSTRAINT deliveries_endpoint_id_fkey;
