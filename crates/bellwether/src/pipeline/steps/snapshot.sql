-- subjects: Kept("subjects")
SELECT subject, MIN(variation) AS variation, MIN(assigned_at) AS assigned_at, MIN(variation) <> MAX(variation) AS is_mixed
FROM (SELECT CAST(("user""id") AS VARCHAR) AS subject, CAST(("v") AS VARCHAR) AS variation, CAST(("at") AS TIMESTAMP(6)) AS assigned_at
FROM (
SELECT * FROM a -- all of it
) AS "assignments"
WHERE CAST(("e") AS VARCHAR) = 'it''s; DROP') AS rows_of_experiment
WHERE subject IS NOT NULL AND variation IN ('a''b', 'control')
AND assigned_at >= to_timestamp_micros(0) AND assigned_at < to_timestamp_micros(86400000000)
GROUP BY subject;

-- traffic: Fetched
SELECT CASE WHEN is_mixed THEN NULL ELSE variation END AS variation, COUNT(*) AS subjects
FROM bellwether."subjects"
GROUP BY CASE WHEN is_mixed THEN NULL ELSE variation END;

-- Revenue: values: Kept("values_0")
SELECT s.variation AS variation, COALESCE(m.value, CAST((0) AS DOUBLE)) AS value
FROM bellwether."subjects" AS s LEFT JOIN (
SELECT f.subject AS subject, CAST((sum(CAST((f.value) AS DECIMAL(38, 10)))) AS DOUBLE) AS value
FROM bellwether."subjects" AS a JOIN (SELECT CAST(("user") AS VARCHAR) AS subject, CAST(("at") AS TIMESTAMP(6)) AS happened_at, CAST(("amount") AS DOUBLE) AS value
FROM (
SELECT * FROM facts
) AS "facts") AS f
ON f.subject = a.subject AND f.happened_at >= a.assigned_at
WHERE NOT a.is_mixed AND f.happened_at < to_timestamp_micros(172800000000)
GROUP BY f.subject) AS m ON m.subject = s.subject
WHERE NOT s.is_mixed;

-- Revenue: totals: Fetched
SELECT variation, COUNT(*) AS subjects, exact_sum((value)) AS total
FROM bellwether."values_0"
GROUP BY variation;

-- Revenue: squares: Fetched
SELECT variation, exact_sum(((value - (CASE variation WHEN 'a''b' THEN CAST(('3.0000000000000004e-1') AS DOUBLE) WHEN 'control' THEN CAST(('-1e300') AS DOUBLE) END)) * (value - (CASE variation WHEN 'a''b' THEN CAST(('3.0000000000000004e-1') AS DOUBLE) WHEN 'control' THEN CAST(('-1e300') AS DOUBLE) END)))) AS squares
FROM bellwether."values_0"
GROUP BY variation;

-- Orders: values: Kept("values_1")
SELECT s.variation AS variation, COALESCE(m.value, CAST((0) AS DOUBLE)) AS value
FROM bellwether."subjects" AS s LEFT JOIN (
SELECT f.subject AS subject, CAST((COUNT(f.value)) AS DOUBLE) AS value
FROM bellwether."subjects" AS a JOIN (SELECT CAST(("user") AS VARCHAR) AS subject, CAST(("at") AS TIMESTAMP(6)) AS happened_at, CAST((1) AS DOUBLE) AS value
FROM (
SELECT * FROM facts
) AS "facts") AS f
ON f.subject = a.subject AND f.happened_at >= a.assigned_at
WHERE NOT a.is_mixed AND f.happened_at < to_timestamp_micros(172800000000)
GROUP BY f.subject) AS m ON m.subject = s.subject
WHERE NOT s.is_mixed;

-- Orders: totals: Fetched
SELECT variation, COUNT(*) AS subjects, exact_sum((value)) AS total
FROM bellwether."values_1"
GROUP BY variation;

-- Orders: squares: Fetched
SELECT variation, exact_sum(((value - (CASE variation WHEN 'a''b' THEN CAST(('3.0000000000000004e-1') AS DOUBLE) WHEN 'control' THEN CAST(('-1e300') AS DOUBLE) END)) * (value - (CASE variation WHEN 'a''b' THEN CAST(('3.0000000000000004e-1') AS DOUBLE) WHEN 'control' THEN CAST(('-1e300') AS DOUBLE) END)))) AS squares
FROM bellwether."values_1"
GROUP BY variation;

-- Basket: values: Kept("values_2")
SELECT s.variation AS variation, COALESCE(m.value, CAST((0) AS DOUBLE)) AS value
FROM bellwether."subjects" AS s LEFT JOIN (
SELECT f.subject AS subject, CAST((sum(CAST((f.value) AS DECIMAL(38, 10)))) AS DOUBLE) / COUNT(f.value) AS value
FROM bellwether."subjects" AS a JOIN (SELECT CAST(("user") AS VARCHAR) AS subject, CAST(("at") AS TIMESTAMP(6)) AS happened_at, CAST(("amount") AS DOUBLE) AS value
FROM (
SELECT * FROM facts
) AS "facts") AS f
ON f.subject = a.subject AND f.happened_at >= a.assigned_at
WHERE NOT a.is_mixed AND f.happened_at < to_timestamp_micros(172800000000)
GROUP BY f.subject) AS m ON m.subject = s.subject
WHERE NOT s.is_mixed;

-- Basket: totals: Fetched
SELECT variation, COUNT(*) AS subjects, exact_sum((value)) AS total
FROM bellwether."values_2"
GROUP BY variation;

-- Basket: squares: Fetched
SELECT variation, exact_sum(((value - (CASE variation WHEN 'a''b' THEN CAST(('3.0000000000000004e-1') AS DOUBLE) WHEN 'control' THEN CAST(('-1e300') AS DOUBLE) END)) * (value - (CASE variation WHEN 'a''b' THEN CAST(('3.0000000000000004e-1') AS DOUBLE) WHEN 'control' THEN CAST(('-1e300') AS DOUBLE) END)))) AS squares
FROM bellwether."values_2"
GROUP BY variation;

-- Bought: values: Kept("values_3")
SELECT s.variation AS variation, COALESCE(m.value, CAST((0) AS DOUBLE)) AS value
FROM bellwether."subjects" AS s LEFT JOIN (
SELECT f.subject AS subject, CASE WHEN COUNT(f.value) > 0 THEN CAST((1) AS DOUBLE) ELSE CAST((0) AS DOUBLE) END AS value
FROM bellwether."subjects" AS a JOIN (SELECT CAST(("user") AS VARCHAR) AS subject, CAST(("at") AS TIMESTAMP(6)) AS happened_at, CAST((1) AS DOUBLE) AS value
FROM (
SELECT * FROM facts
) AS "facts") AS f
ON f.subject = a.subject AND f.happened_at >= a.assigned_at
WHERE NOT a.is_mixed AND f.happened_at < to_timestamp_micros(172800000000)
GROUP BY f.subject) AS m ON m.subject = s.subject
WHERE NOT s.is_mixed;

-- Bought: totals: Fetched
SELECT variation, COUNT(*) AS subjects, exact_sum((value)) AS total
FROM bellwether."values_3"
GROUP BY variation;

-- Bought: squares: Fetched
SELECT variation, exact_sum(((value - (CASE variation WHEN 'a''b' THEN CAST(('3.0000000000000004e-1') AS DOUBLE) WHEN 'control' THEN CAST(('-1e300') AS DOUBLE) END)) * (value - (CASE variation WHEN 'a''b' THEN CAST(('3.0000000000000004e-1') AS DOUBLE) WHEN 'control' THEN CAST(('-1e300') AS DOUBLE) END)))) AS squares
FROM bellwether."values_3"
GROUP BY variation;

