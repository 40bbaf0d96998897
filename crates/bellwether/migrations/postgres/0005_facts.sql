-- What filters ask of an event beside what it holds, as JSON: so that nobody has to look through the history for each.
-- Events of before have none.
ALTER TABLE events ADD COLUMN facts TEXT;
