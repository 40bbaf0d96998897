-- census of assignments: Fetched
SELECT variation, COUNT(*) AS row_count,
COUNT(*) FILTER (WHERE subject IS NULL) AS without_subject,
COUNT(*) FILTER (WHERE subject IS NOT NULL AND assigned_at IS NULL) AS without_time,
COUNT(*) FILTER (WHERE subject IS NOT NULL AND NOT (assigned_at >= 0 AND assigned_at < 86400000000)) AS outside_window,
COUNT(*) FILTER (WHERE assigned_at >= 262800000000) AS in_future,
COUNT(*) FILTER (WHERE assigned_at % 86400000000 <> 0) AS off_midnight,
MIN(assigned_at) AS earliest, MAX(assigned_at) AS latest,
SUM(COUNT(*)) OVER () AS all_rows
FROM (SELECT "user""id" AS subject, "v" AS variation, CAST(TRY_CAST("at" AS TIMESTAMP(6)) AS BIGINT) AS assigned_at
FROM (
SELECT * FROM a -- all of it
) AS "assignments"
WHERE "e" = 'it''s; DROP') AS rows_of_experiment
GROUP BY variation
ORDER BY CASE WHEN variation IN ('a''b', 'control', 'old') THEN 0 ELSE 1 END, row_count DESC, variation
LIMIT 23;

-- keys of assignments: Fetched
SELECT "e" AS experiment_key, COUNT(*) AS row_count
FROM (
SELECT * FROM a -- all of it
) AS "assignments"
GROUP BY "e"
ORDER BY row_count DESC, experiment_key
LIMIT 20;

-- subjects: Kept("subjects")
SELECT subject, MIN(arm) AS arm, MIN(assigned_at) AS assigned_at, MIN(arm) <> MAX(arm) AS is_mixed
FROM (SELECT "user""id" AS subject, CASE "v" WHEN 'a''b' THEN 0 WHEN 'control' THEN 1 END AS arm, CAST(TRY_CAST("at" AS TIMESTAMP(6)) AS BIGINT) AS assigned_at
FROM (
SELECT * FROM a -- all of it
) AS "assignments"
WHERE "e" = 'it''s; DROP') AS rows_of_experiment
WHERE subject IS NOT NULL AND arm IS NOT NULL AND assigned_at >= 0 AND assigned_at < 86400000000
GROUP BY subject;

-- traffic: Fetched
SELECT CASE WHEN is_mixed THEN NULL ELSE arm END AS arm, COUNT(*) AS subjects
FROM bellwether."subjects"
GROUP BY CASE WHEN is_mixed THEN NULL ELSE arm END;

-- traffic: Fetched
SELECT CASE WHEN is_mixed THEN NULL ELSE arm END AS arm, COUNT(*) AS subjects, COUNT(*) FILTER (WHERE assigned_at <= -1036800000000) AS aged_0
FROM bellwether."subjects"
GROUP BY CASE WHEN is_mixed THEN NULL ELSE arm END;

-- Orders: census of facts: Fetched
SELECT COUNT(*) AS row_count,
COUNT(*) FILTER (WHERE "user" IS NULL) AS without_subject,
COUNT(*) FILTER (WHERE "user" IS NOT NULL AND CAST(TRY_CAST("at" AS TIMESTAMP(6)) AS BIGINT) IS NULL) AS without_time,
COUNT(*) FILTER (WHERE FALSE AND CAST(TRY_CAST("at" AS TIMESTAMP(6)) AS BIGINT) IS NOT NULL) AS by_day,
COUNT(*) FILTER (WHERE CAST(TRY_CAST("at" AS TIMESTAMP(6)) AS BIGINT) % 86400000000 <> 0) AS off_midnight,
COUNT(*) FILTER (WHERE CAST(TRY_CAST("at" AS TIMESTAMP(6)) AS BIGINT) >= 262800000000) AS in_future,
0 AS unreadable_values,
MAX(CAST(TRY_CAST("at" AS TIMESTAMP(6)) AS BIGINT)) AS latest
FROM (
SELECT * FROM orders
) AS "facts";

-- Orders: values: Kept("values_0")
SELECT subject, tally(arm, is_before, is_after) AS tally, exact_sum(x0) FILTER (WHERE k0) AS v0, CAST((NULLIF(COUNT(x1) FILTER (WHERE k0), 0)) AS DOUBLE) AS v1, exact_sum(x0) FILTER (WHERE k1) / CAST((NULLIF(COUNT(x0) FILTER (WHERE k1), 0)) AS DOUBLE) AS v2, CAST((NULLIF(COUNT(DISTINCT x2) FILTER (WHERE k2), 0)) AS DOUBLE) AS v3, FIRST_VALUE(x0 ORDER BY at, x0) FILTER (WHERE k0 AND x0 IS NOT NULL) AS v4, FIRST_VALUE(x0 ORDER BY at DESC, x0 DESC) FILTER (WHERE k0 AND x0 IS NOT NULL) AS v5, CASE WHEN COUNT(x1) FILTER (WHERE k0) > 0 THEN CAST('1e0' AS DOUBLE) END AS v6, CASE WHEN COUNT(x1) FILTER (WHERE k3) > 0 THEN CAST('1e0' AS DOUBLE) END AS v7, CASE WHEN COUNT(x1) FILTER (WHERE k4) > 0 THEN CAST('1e0' AS DOUBLE) END AS v8, CASE WHEN exact_sum(x0) FILTER (WHERE k5) >= CAST('1e2' AS DOUBLE) THEN CAST('1e0' AS DOUBLE) END AS v9, MIN(x3) FILTER (WHERE k6) AS v10
FROM (SELECT a.subject AS subject, a.arm AS arm, f.at AS at, f.at < a.assigned_at AS is_before, f.at >= 172800000000 AS is_after,
finite(f.c0, 'the column ''amount'' of the fact source ''Orders''') AS x0,
1 AS x1,
f.c1 AS x2,
CAST((greatest(f.at - a.assigned_at, 0)) AS DOUBLE) / CAST('1e6' AS DOUBLE) AS x3,
f.at >= a.assigned_at AND f.at < 172800000000 AS k0,
f.at >= a.assigned_at AND f.at < 172800000000 AND f.at < a.assigned_at + 604800000000 AND a.assigned_at <= -432000000000 AS k1,
f.at >= a.assigned_at AND f.at < 172800000000 AND f.at >= (a.assigned_at - a.assigned_at % 86400000000) + 86400000000 AND f.at < (a.assigned_at - a.assigned_at % 86400000000) + 2592000000000 AND f.c1 IN ('DE', 'AT') AS k2,
f.at >= a.assigned_at AND f.at < 172800000000 AND f.at < a.assigned_at + 259200000000 AS k3,
f.at >= a.assigned_at AND f.at < 172800000000 AND f.at >= a.assigned_at + 1209600000000 AND a.assigned_at <= -1036800000000 AS k4,
f.at >= a.assigned_at AND f.at < 172800000000 AND f.at < a.assigned_at + 1209600000000 AS k5,
f.at >= a.assigned_at AND f.at < 172800000000 AND finite(f.c0, 'the column ''amount'' of the fact source ''Orders''') IS NOT NULL AS k6
FROM bellwether."subjects" AS a JOIN (SELECT "user" AS subject, CAST(TRY_CAST("at" AS TIMESTAMP(6)) AS BIGINT) AS at,
CAST(("amount") AS DOUBLE) AS c0,
"country" AS c1
FROM (
SELECT * FROM orders
) AS "facts") AS f
ON CAST((f.subject) AS VARCHAR) = a.subject
WHERE NOT a.is_mixed) AS facts_of_subjects
GROUP BY subject;

-- Orders: bounds: Fetched
SELECT exact_quantile(COALESCE(v.v0, CAST('0e0' AS DOUBLE)), CAST('9.9e-1' AS DOUBLE)) AS upper_2
FROM bellwether."subjects" AS a LEFT JOIN bellwether."values_0" AS v ON v.subject = a.subject
WHERE NOT a.is_mixed;

-- Orders: totals: Fetched
SELECT get_field(tally, 'arm') AS arm, SUM(get_field(tally, 'facts')) AS facts, SUM(get_field(tally, 'before_assignment')) AS before_assignment, SUM(get_field(tally, 'after_end')) AS after_end,
COUNT(v0) AS n0, exact_sum(v0) AS t0, MAX(abs(v0)) AS g0, SUM(abs(v0)) AS s0,
COUNT(v1) AS n1, exact_sum(v1) AS t1, MAX(abs(v1)) AS g1, SUM(abs(v1)) AS s1,
COUNT(CASE WHEN v0 IS NOT NULL THEN greatest(v0, CAST('0e0' AS DOUBLE)) END) AS n2, exact_sum(CASE WHEN v0 IS NOT NULL THEN greatest(v0, CAST('0e0' AS DOUBLE)) END) AS t2, MAX(abs(CASE WHEN v0 IS NOT NULL THEN greatest(v0, CAST('0e0' AS DOUBLE)) END)) AS g2, SUM(abs(CASE WHEN v0 IS NOT NULL THEN greatest(v0, CAST('0e0' AS DOUBLE)) END)) AS s2,
COUNT(v2) AS n3, exact_sum(v2) AS t3, MAX(abs(v2)) AS g3, SUM(abs(v2)) AS s3,
COUNT(v3) AS n4, exact_sum(v3) AS t4, MAX(abs(v3)) AS g4, SUM(abs(v3)) AS s4,
COUNT(v4) AS n5, exact_sum(v4) AS t5, MAX(abs(v4)) AS g5, SUM(abs(v4)) AS s5,
COUNT(v5) AS n6, exact_sum(v5) AS t6, MAX(abs(v5)) AS g6, SUM(abs(v5)) AS s6,
COUNT(v6) AS n7, exact_sum(v6) AS t7, MAX(abs(v6)) AS g7, SUM(abs(v6)) AS s7,
COUNT(v7) AS n8, exact_sum(v7) AS t8, MAX(abs(v7)) AS g8, SUM(abs(v7)) AS s8,
COUNT(v8) AS n9, exact_sum(v8) AS t9, MAX(abs(v8)) AS g9, SUM(abs(v8)) AS s9,
COUNT(v9) AS n10, exact_sum(v9) AS t10, MAX(abs(v9)) AS g10, SUM(abs(v9)) AS s10,
COUNT(v10) AS n11, exact_sum(v10) AS t11, MAX(abs(v10)) AS g11, SUM(abs(v10)) AS s11
FROM bellwether."values_0"
GROUP BY get_field(tally, 'arm');

-- Orders: deviations: Fetched
SELECT get_field(tally, 'arm') AS arm,
exact_sum((v0 - (CASE get_field(tally, 'arm') WHEN 0 THEN CAST('3.0000000000000004e-1' AS DOUBLE) WHEN 1 THEN CAST('-1e300' AS DOUBLE) END))) AS d0, exact_sum((v0 - (CASE get_field(tally, 'arm') WHEN 0 THEN CAST('3.0000000000000004e-1' AS DOUBLE) WHEN 1 THEN CAST('-1e300' AS DOUBLE) END)) * (v0 - (CASE get_field(tally, 'arm') WHEN 0 THEN CAST('3.0000000000000004e-1' AS DOUBLE) WHEN 1 THEN CAST('-1e300' AS DOUBLE) END))) AS q0,
exact_sum((v1 - (CASE get_field(tally, 'arm') WHEN 0 THEN CAST('3.0000000000000004e-1' AS DOUBLE) WHEN 1 THEN CAST('-1e300' AS DOUBLE) END))) AS d1, exact_sum((v1 - (CASE get_field(tally, 'arm') WHEN 0 THEN CAST('3.0000000000000004e-1' AS DOUBLE) WHEN 1 THEN CAST('-1e300' AS DOUBLE) END)) * (v1 - (CASE get_field(tally, 'arm') WHEN 0 THEN CAST('3.0000000000000004e-1' AS DOUBLE) WHEN 1 THEN CAST('-1e300' AS DOUBLE) END))) AS q1,
exact_sum((CASE WHEN v0 IS NOT NULL THEN greatest(v0, CAST('0e0' AS DOUBLE)) END - (CASE get_field(tally, 'arm') WHEN 0 THEN CAST('3.0000000000000004e-1' AS DOUBLE) WHEN 1 THEN CAST('-1e300' AS DOUBLE) END))) AS d2, exact_sum((CASE WHEN v0 IS NOT NULL THEN greatest(v0, CAST('0e0' AS DOUBLE)) END - (CASE get_field(tally, 'arm') WHEN 0 THEN CAST('3.0000000000000004e-1' AS DOUBLE) WHEN 1 THEN CAST('-1e300' AS DOUBLE) END)) * (CASE WHEN v0 IS NOT NULL THEN greatest(v0, CAST('0e0' AS DOUBLE)) END - (CASE get_field(tally, 'arm') WHEN 0 THEN CAST('3.0000000000000004e-1' AS DOUBLE) WHEN 1 THEN CAST('-1e300' AS DOUBLE) END))) AS q2,
exact_sum((v2 - (CASE get_field(tally, 'arm') WHEN 0 THEN CAST('3.0000000000000004e-1' AS DOUBLE) WHEN 1 THEN CAST('-1e300' AS DOUBLE) END))) AS d3, exact_sum((v2 - (CASE get_field(tally, 'arm') WHEN 0 THEN CAST('3.0000000000000004e-1' AS DOUBLE) WHEN 1 THEN CAST('-1e300' AS DOUBLE) END)) * (v2 - (CASE get_field(tally, 'arm') WHEN 0 THEN CAST('3.0000000000000004e-1' AS DOUBLE) WHEN 1 THEN CAST('-1e300' AS DOUBLE) END))) AS q3,
exact_sum((v3 - (CASE get_field(tally, 'arm') WHEN 0 THEN CAST('3.0000000000000004e-1' AS DOUBLE) WHEN 1 THEN CAST('-1e300' AS DOUBLE) END))) AS d4, exact_sum((v3 - (CASE get_field(tally, 'arm') WHEN 0 THEN CAST('3.0000000000000004e-1' AS DOUBLE) WHEN 1 THEN CAST('-1e300' AS DOUBLE) END)) * (v3 - (CASE get_field(tally, 'arm') WHEN 0 THEN CAST('3.0000000000000004e-1' AS DOUBLE) WHEN 1 THEN CAST('-1e300' AS DOUBLE) END))) AS q4,
exact_sum((v4 - (CASE get_field(tally, 'arm') WHEN 0 THEN CAST('3.0000000000000004e-1' AS DOUBLE) WHEN 1 THEN CAST('-1e300' AS DOUBLE) END))) AS d5, exact_sum((v4 - (CASE get_field(tally, 'arm') WHEN 0 THEN CAST('3.0000000000000004e-1' AS DOUBLE) WHEN 1 THEN CAST('-1e300' AS DOUBLE) END)) * (v4 - (CASE get_field(tally, 'arm') WHEN 0 THEN CAST('3.0000000000000004e-1' AS DOUBLE) WHEN 1 THEN CAST('-1e300' AS DOUBLE) END))) AS q5,
exact_sum((v5 - (CASE get_field(tally, 'arm') WHEN 0 THEN CAST('3.0000000000000004e-1' AS DOUBLE) WHEN 1 THEN CAST('-1e300' AS DOUBLE) END))) AS d6, exact_sum((v5 - (CASE get_field(tally, 'arm') WHEN 0 THEN CAST('3.0000000000000004e-1' AS DOUBLE) WHEN 1 THEN CAST('-1e300' AS DOUBLE) END)) * (v5 - (CASE get_field(tally, 'arm') WHEN 0 THEN CAST('3.0000000000000004e-1' AS DOUBLE) WHEN 1 THEN CAST('-1e300' AS DOUBLE) END))) AS q6,
exact_sum((v6 - (CASE get_field(tally, 'arm') WHEN 0 THEN CAST('3.0000000000000004e-1' AS DOUBLE) WHEN 1 THEN CAST('-1e300' AS DOUBLE) END))) AS d7, exact_sum((v6 - (CASE get_field(tally, 'arm') WHEN 0 THEN CAST('3.0000000000000004e-1' AS DOUBLE) WHEN 1 THEN CAST('-1e300' AS DOUBLE) END)) * (v6 - (CASE get_field(tally, 'arm') WHEN 0 THEN CAST('3.0000000000000004e-1' AS DOUBLE) WHEN 1 THEN CAST('-1e300' AS DOUBLE) END))) AS q7,
exact_sum((v7 - (CASE get_field(tally, 'arm') WHEN 0 THEN CAST('3.0000000000000004e-1' AS DOUBLE) WHEN 1 THEN CAST('-1e300' AS DOUBLE) END))) AS d8, exact_sum((v7 - (CASE get_field(tally, 'arm') WHEN 0 THEN CAST('3.0000000000000004e-1' AS DOUBLE) WHEN 1 THEN CAST('-1e300' AS DOUBLE) END)) * (v7 - (CASE get_field(tally, 'arm') WHEN 0 THEN CAST('3.0000000000000004e-1' AS DOUBLE) WHEN 1 THEN CAST('-1e300' AS DOUBLE) END))) AS q8,
exact_sum((v8 - (CASE get_field(tally, 'arm') WHEN 0 THEN CAST('3.0000000000000004e-1' AS DOUBLE) WHEN 1 THEN CAST('-1e300' AS DOUBLE) END))) AS d9, exact_sum((v8 - (CASE get_field(tally, 'arm') WHEN 0 THEN CAST('3.0000000000000004e-1' AS DOUBLE) WHEN 1 THEN CAST('-1e300' AS DOUBLE) END)) * (v8 - (CASE get_field(tally, 'arm') WHEN 0 THEN CAST('3.0000000000000004e-1' AS DOUBLE) WHEN 1 THEN CAST('-1e300' AS DOUBLE) END))) AS q9,
exact_sum((v9 - (CASE get_field(tally, 'arm') WHEN 0 THEN CAST('3.0000000000000004e-1' AS DOUBLE) WHEN 1 THEN CAST('-1e300' AS DOUBLE) END))) AS d10, exact_sum((v9 - (CASE get_field(tally, 'arm') WHEN 0 THEN CAST('3.0000000000000004e-1' AS DOUBLE) WHEN 1 THEN CAST('-1e300' AS DOUBLE) END)) * (v9 - (CASE get_field(tally, 'arm') WHEN 0 THEN CAST('3.0000000000000004e-1' AS DOUBLE) WHEN 1 THEN CAST('-1e300' AS DOUBLE) END))) AS q10,
exact_sum((v10 - (CASE get_field(tally, 'arm') WHEN 0 THEN CAST('3.0000000000000004e-1' AS DOUBLE) WHEN 1 THEN CAST('-1e300' AS DOUBLE) END))) AS d11, exact_sum((v10 - (CASE get_field(tally, 'arm') WHEN 0 THEN CAST('3.0000000000000004e-1' AS DOUBLE) WHEN 1 THEN CAST('-1e300' AS DOUBLE) END)) * (v10 - (CASE get_field(tally, 'arm') WHEN 0 THEN CAST('3.0000000000000004e-1' AS DOUBLE) WHEN 1 THEN CAST('-1e300' AS DOUBLE) END))) AS q11,
COUNT(*) FILTER (WHERE (v1 IS NOT NULL OR v0 IS NOT NULL)) AS e0, exact_sum(CASE WHEN (v1 IS NOT NULL OR v0 IS NOT NULL) THEN (COALESCE(v1, CAST('0e0' AS DOUBLE)) - (CASE get_field(tally, 'arm') WHEN 0 THEN CAST('3.0000000000000004e-1' AS DOUBLE) WHEN 1 THEN CAST('-1e300' AS DOUBLE) END)) * (COALESCE(v0, CAST('0e0' AS DOUBLE)) - (CASE get_field(tally, 'arm') WHEN 0 THEN CAST('3.0000000000000004e-1' AS DOUBLE) WHEN 1 THEN CAST('-1e300' AS DOUBLE) END)) END) AS p0
FROM bellwether."values_0"
GROUP BY get_field(tally, 'arm');

-- Orders: census of facts: Fetched
SELECT COUNT(*) AS row_count,
COUNT(*) FILTER (WHERE "user" IS NULL) AS without_subject,
COUNT(*) FILTER (WHERE "user" IS NOT NULL AND CAST(TRY_CAST("day" AS TIMESTAMP(6)) AS BIGINT) IS NULL) AS without_time,
COUNT(*) FILTER (WHERE TRUE AND CAST(TRY_CAST("day" AS TIMESTAMP(6)) AS BIGINT) IS NOT NULL) AS by_day,
COUNT(*) FILTER (WHERE CAST(TRY_CAST("day" AS TIMESTAMP(6)) AS BIGINT) % 86400000000 <> 0) AS off_midnight,
COUNT(*) FILTER (WHERE CAST(TRY_CAST("day" AS TIMESTAMP(6)) AS BIGINT) >= 262800000000) AS in_future,
0 AS unreadable_values,
MAX(CAST(TRY_CAST("day" AS TIMESTAMP(6)) AS BIGINT)) AS latest
FROM (
SELECT * FROM orders
) AS "facts";

-- Orders: values: Kept("values_0")
SELECT subject, tally(arm, is_before, is_after) AS tally, CAST((NULLIF(COUNT(x0) FILTER (WHERE k0), 0)) AS DOUBLE) AS v0
FROM (SELECT a.subject AS subject, a.arm AS arm, f.at AS at, f.at < (a.assigned_at - a.assigned_at % 86400000000) AS is_before, f.at >= 172800000000 AS is_after,
1 AS x0,
f.at >= (a.assigned_at - a.assigned_at % 86400000000) AND f.at < 172800000000 AS k0
FROM bellwether."subjects" AS a JOIN (SELECT "user" AS subject, CAST(TRY_CAST("day" AS TIMESTAMP(6)) AS BIGINT) AS at
FROM (
SELECT * FROM orders
) AS "facts") AS f
ON CAST((f.subject) AS VARCHAR) = a.subject
WHERE NOT a.is_mixed) AS facts_of_subjects
GROUP BY subject;

-- Orders: totals: Fetched
SELECT get_field(tally, 'arm') AS arm, SUM(get_field(tally, 'facts')) AS facts, SUM(get_field(tally, 'before_assignment')) AS before_assignment, SUM(get_field(tally, 'after_end')) AS after_end,
COUNT(v0) AS n0, exact_sum(v0) AS t0, MAX(abs(v0)) AS g0, SUM(abs(v0)) AS s0
FROM bellwether."values_0"
GROUP BY get_field(tally, 'arm');

-- Orders: deviations: Fetched
SELECT get_field(tally, 'arm') AS arm,
exact_sum((v0 - (CASE get_field(tally, 'arm') WHEN 0 THEN CAST('3.0000000000000004e-1' AS DOUBLE) WHEN 1 THEN CAST('-1e300' AS DOUBLE) END))) AS d0, exact_sum((v0 - (CASE get_field(tally, 'arm') WHEN 0 THEN CAST('3.0000000000000004e-1' AS DOUBLE) WHEN 1 THEN CAST('-1e300' AS DOUBLE) END)) * (v0 - (CASE get_field(tally, 'arm') WHEN 0 THEN CAST('3.0000000000000004e-1' AS DOUBLE) WHEN 1 THEN CAST('-1e300' AS DOUBLE) END))) AS q0
FROM bellwether."values_0"
GROUP BY get_field(tally, 'arm');

-- assigned subjects: Kept("assigned")
SELECT subject, MIN(arm) AS arm, MIN(assigned_at) AS assigned_at, MIN(arm) <> MAX(arm) AS is_mixed, FIRST_VALUE(p0 ORDER BY assigned_at, p0 NULLS LAST) AS p0
FROM (SELECT "user""id" AS subject, CASE "v" WHEN 'a''b' THEN 0 WHEN 'control' THEN 1 END AS arm, left("country", 200) AS p0, CAST(TRY_CAST("at" AS TIMESTAMP(6)) AS BIGINT) AS assigned_at
FROM (
SELECT * FROM a -- all of it
) AS "assignments"
WHERE "e" = 'it''s; DROP') AS rows_of_experiment
WHERE subject IS NOT NULL AND arm IS NOT NULL AND assigned_at >= 0 AND assigned_at < 86400000000
GROUP BY subject;

-- Orders: entries: Kept("subjects")
SELECT a.subject AS subject, MIN(a.arm) AS arm, MIN(greatest(f.at, a.assigned_at)) AS assigned_at, MIN(a.is_mixed) AS is_mixed, MIN(a.p0) AS p0
FROM bellwether."assigned" AS a JOIN (SELECT "user" AS subject, CAST(TRY_CAST("at" AS TIMESTAMP(6)) AS BIGINT) AS at
FROM (
SELECT * FROM orders
) AS "facts") AS f
ON CAST((f.subject) AS VARCHAR) = a.subject
WHERE f.at >= a.assigned_at AND f.at < 172800000000
GROUP BY a.subject;

-- assigned: Fetched
SELECT COUNT(*) FILTER (WHERE NOT is_mixed) AS subjects, COUNT(*) FILTER (WHERE is_mixed) AS excluded
FROM bellwether."assigned";

-- values of 'country': Fetched
SELECT a.p0 AS value, COUNT(*) AS subjects, COUNT(*) FILTER (WHERE a.arm = 0) AS arm_0, COUNT(*) FILTER (WHERE a.arm = 1) AS arm_1
FROM bellwether."subjects" AS a
WHERE NOT a.is_mixed
GROUP BY a.p0
ORDER BY subjects DESC, value
LIMIT 50;

-- Orders: by 'country': Fetched
SELECT (CASE WHEN a.p0 IS NULL THEN 1 ELSE CASE a.p0 WHEN 'it''s' THEN 0 ELSE 2 END END) * 2 + a.arm AS arm,
COUNT(v.v0) AS n0, exact_sum(v.v0) AS t0, MAX(abs(v.v0)) AS g0, SUM(abs(v.v0)) AS s0,
COUNT(v.v1) AS n1, exact_sum(v.v1) AS t1, MAX(abs(v.v1)) AS g1, SUM(abs(v.v1)) AS s1,
exact_sum((v.v0 - (CASE a.arm WHEN 0 THEN CAST('1e0' AS DOUBLE) WHEN 1 THEN CAST('2e0' AS DOUBLE) END))) AS d0, exact_sum((v.v0 - (CASE a.arm WHEN 0 THEN CAST('1e0' AS DOUBLE) WHEN 1 THEN CAST('2e0' AS DOUBLE) END)) * (v.v0 - (CASE a.arm WHEN 0 THEN CAST('1e0' AS DOUBLE) WHEN 1 THEN CAST('2e0' AS DOUBLE) END))) AS q0
FROM bellwether."subjects" AS a JOIN bellwether."values_0" AS v ON v.subject = a.subject
GROUP BY (CASE WHEN a.p0 IS NULL THEN 1 ELSE CASE a.p0 WHEN 'it''s' THEN 0 ELSE 2 END END) * 2 + a.arm;

-- Orders: by 'country': Fetched
SELECT (CASE WHEN a.p0 IS NULL THEN 1 ELSE CASE a.p0 WHEN 'it''s' THEN 0 ELSE 2 END END) * 2 + a.arm AS arm,
COUNT(*) FILTER (WHERE (x.v0 IS NOT NULL OR y.v1 IS NOT NULL)) AS e0, exact_sum(CASE WHEN (x.v0 IS NOT NULL OR y.v1 IS NOT NULL) THEN (COALESCE(x.v0, CAST('0e0' AS DOUBLE)) - (CASE a.arm WHEN 0 THEN CAST('1e0' AS DOUBLE) WHEN 1 THEN CAST('2e0' AS DOUBLE) END)) * (COALESCE(y.v1, CAST('0e0' AS DOUBLE)) - (CASE a.arm WHEN 0 THEN CAST('3e0' AS DOUBLE) WHEN 1 THEN CAST('4e0' AS DOUBLE) END)) END) AS p0
FROM bellwether."subjects" AS a LEFT JOIN bellwether."values_0" AS x ON x.subject = a.subject
LEFT JOIN bellwether."values_1" AS y ON y.subject = a.subject
WHERE NOT a.is_mixed
GROUP BY (CASE WHEN a.p0 IS NULL THEN 1 ELSE CASE a.p0 WHEN 'it''s' THEN 0 ELSE 2 END END) * 2 + a.arm;

-- values_0 and values_1: products: Fetched
SELECT COALESCE(get_field(x.tally, 'arm'), get_field(y.tally, 'arm')) AS arm,
COUNT(*) FILTER (WHERE (x.v0 IS NOT NULL OR y.v1 IS NOT NULL)) AS e0, exact_sum(CASE WHEN (x.v0 IS NOT NULL OR y.v1 IS NOT NULL) THEN (COALESCE(x.v0, CAST('0e0' AS DOUBLE)) - (CASE COALESCE(get_field(x.tally, 'arm'), get_field(y.tally, 'arm')) WHEN 0 THEN CAST('1e0' AS DOUBLE) WHEN 1 THEN CAST('2e0' AS DOUBLE) END)) * (COALESCE(y.v1, CAST('0e0' AS DOUBLE)) - (CASE COALESCE(get_field(x.tally, 'arm'), get_field(y.tally, 'arm')) WHEN 0 THEN CAST('3e0' AS DOUBLE) WHEN 1 THEN CAST('4e0' AS DOUBLE) END)) END) AS p0
FROM bellwether."values_0" AS x FULL JOIN bellwether."values_1" AS y ON y.subject = x.subject
GROUP BY COALESCE(get_field(x.tally, 'arm'), get_field(y.tally, 'arm'));

-- properties together: Fetched
SELECT a.arm AS arm, CASE WHEN a.p0 IS NULL THEN 1 ELSE CASE a.p0 WHEN 'it''s' THEN 0 ELSE 2 END END AS x, CASE WHEN a.p0 IS NULL THEN 1 ELSE CASE a.p0 WHEN 'it''s' THEN 0 ELSE 2 END END AS y, COUNT(*) AS subjects
FROM bellwether."subjects" AS a
WHERE NOT a.is_mixed
GROUP BY a.arm, CASE WHEN a.p0 IS NULL THEN 1 ELSE CASE a.p0 WHEN 'it''s' THEN 0 ELSE 2 END END, CASE WHEN a.p0 IS NULL THEN 1 ELSE CASE a.p0 WHEN 'it''s' THEN 0 ELSE 2 END END;

-- Orders: pooled facts: Kept("pooled_0")
SELECT subject, arm, x0 AS value
FROM (SELECT a.subject AS subject, a.arm AS arm, f.at AS at, f.is_day AS is_day,
CASE WHEN f.at >= a.assigned_at AND f.at < 172800000000 AND f.at < a.assigned_at + 604800000000 THEN finite(f.c0, 'the column ''amount'' of the fact source ''Orders''') IS NOT NULL ELSE FALSE END AS is0, finite(f.c0, 'the column ''amount'' of the fact source ''Orders''') AS x0
FROM bellwether."subjects" AS a JOIN (SELECT "user" AS subject, CAST(TRY_CAST("at" AS TIMESTAMP(6)) AS BIGINT) AS at, FALSE AS is_day,
CAST(("amount") AS DOUBLE) AS c0
FROM (
SELECT * FROM orders
) AS "facts") AS f
ON f.subject = a.subject
WHERE NOT a.is_mixed) AS facts_of_subjects
WHERE is0;

-- Orders: facts by arm: Fetched
SELECT arm, COUNT(*) AS subjects, SUM(facts) AS facts, exact_sum(total) AS total
FROM (SELECT subject, arm, COUNT(*) AS facts, exact_sum(value) AS total
FROM bellwether."pooled_0"
GROUP BY subject, arm) AS subjects_with_facts
GROUP BY arm;

-- p95: facts at the percentile: Fetched
SELECT arm, place, value
FROM (SELECT arm, value, ROW_NUMBER() OVER (PARTITION BY arm ORDER BY value) AS place
FROM bellwether."pooled_0") AS facts_in_order
WHERE arm = 0 AND place IN (90, 95, 96, 99)
OR arm = 1 AND place IN (1, 2);

-- p95: shares of subjects: Fetched
SELECT arm, COUNT(*) AS subjects, SUM(facts) AS facts, SUM(facts * facts) AS facts_squared,
SUM(below) AS below, SUM(below * below) AS below_squared, SUM(below * facts) AS products,
MAX(facts) AS most_facts, MAX(below) AS most_below
FROM (SELECT subject, arm, COUNT(*) AS facts, COUNT(*) FILTER (WHERE value <= (CASE arm WHEN 0 THEN CAST('1.5e0' AS DOUBLE) WHEN 1 THEN CAST('0e0' AS DOUBLE) END)) AS below
FROM bellwether."pooled_0"
GROUP BY subject, arm) AS subjects_with_facts
GROUP BY arm;

-- Orders: joined facts: Fetched
SELECT COUNT(*) AS facts,
COUNT(*) FILTER (WHERE f.at < a.assigned_at) AS before_assignment,
COUNT(*) FILTER (WHERE f.at >= 172800000000) AS after_end
FROM bellwether."subjects" AS a JOIN (SELECT "user" AS subject, CAST(TRY_CAST("at" AS TIMESTAMP(6)) AS BIGINT) AS at, FALSE AS is_day
FROM (
SELECT * FROM orders
) AS "facts") AS f
ON f.subject = a.subject
WHERE NOT a.is_mixed;

-- Funnel: facts of its steps: Kept("funnel_1")
SELECT subject, arm, at, is_day, is0, is1, FALSE AS is2
FROM (SELECT a.subject AS subject, a.arm AS arm, f.at AS at, f.is_day AS is_day,
CASE WHEN f.at >= a.assigned_at AND f.at < 172800000000 AND f.c0 IN ('DE') AND f.at < a.assigned_at + 86400000000 THEN CAST('1e0' AS DOUBLE) IS NOT NULL ELSE FALSE END AS is0, CAST('1e0' AS DOUBLE) AS x0,
CASE WHEN f.at >= a.assigned_at AND f.at < 172800000000 AND f.at < a.assigned_at + 86400000000 THEN finite(f.c1, 'the column ''amount'' of the fact source ''Orders''') IS NOT NULL ELSE FALSE END AS is1, finite(f.c1, 'the column ''amount'' of the fact source ''Orders''') AS x1
FROM bellwether."subjects" AS a JOIN (SELECT "user" AS subject, CAST(TRY_CAST("at" AS TIMESTAMP(6)) AS BIGINT) AS at, FALSE AS is_day,
"country" AS c0,
CAST(("amount") AS DOUBLE) AS c1
FROM (
SELECT * FROM orders
) AS "facts") AS f
ON f.subject = a.subject
WHERE NOT a.is_mixed) AS facts_of_subjects
WHERE is0 OR is1
UNION ALL
SELECT subject, arm, at, is_day, FALSE AS is0, FALSE AS is1, is0 AS is2
FROM (SELECT a.subject AS subject, a.arm AS arm, f.at AS at, f.is_day AS is_day,
CASE WHEN f.at >= (a.assigned_at - a.assigned_at % 86400000000) AND f.at < 172800000000 AND f.at < (a.assigned_at - a.assigned_at % 86400000000) + 86400000000 THEN CAST('1e0' AS DOUBLE) IS NOT NULL ELSE FALSE END AS is0, CAST('1e0' AS DOUBLE) AS x0
FROM bellwether."subjects" AS a JOIN (SELECT "user" AS subject, CAST(TRY_CAST("day" AS TIMESTAMP(6)) AS BIGINT) AS at, TRUE AS is_day
FROM (
SELECT * FROM orders
) AS "facts") AS f
ON f.subject = a.subject
WHERE NOT a.is_mixed) AS facts_of_subjects
WHERE is0;

-- Funnel: steps: Fetched
SELECT arm, COUNT(t0) AS reached_0, COUNT(t1) AS reached_1, COUNT(t2) AS reached_2
FROM (SELECT c.subject AS subject, c.arm AS arm, MIN(c.t0) AS t0, MIN(c.t1) AS t1, MIN(CASE WHEN f.at IS NOT NULL THEN greatest(f.at, c.t1) END) AS t2
FROM (SELECT c.subject AS subject, c.arm AS arm, MIN(c.t0) AS t0, MIN(CASE WHEN f.at IS NOT NULL THEN greatest(f.at, c.t0) END) AS t1
FROM (SELECT subject, arm, MIN(at) AS t0
FROM bellwether."funnel_1"
WHERE is0
GROUP BY subject, arm) AS c
LEFT JOIN (SELECT subject, at, is_day, is0 FROM bellwether."funnel_1" WHERE is1) AS f
ON f.subject = c.subject AND f.at >= (CASE WHEN f.is_day THEN (c.t0 - c.t0 % 86400000000) ELSE c.t0 END) AND (f.at > c.t0 OR NOT f.is0)
GROUP BY c.subject, c.arm) AS c
LEFT JOIN (SELECT subject, at, is_day, is0, is1 FROM bellwether."funnel_1" WHERE is2) AS f
ON f.subject = c.subject AND f.at >= (CASE WHEN f.is_day THEN (c.t1 - c.t1 % 86400000000) ELSE c.t1 END) AND (f.at > c.t0 OR NOT f.is0) AND (f.at > c.t1 OR NOT f.is1)
GROUP BY c.subject, c.arm) AS subjects_with_steps
GROUP BY arm;

-- Funnel: facts of its steps: Kept("funnel_2")
SELECT subject, arm, at, is_day, is0, is1, FALSE AS is2
FROM (SELECT a.subject AS subject, a.arm AS arm, f.at AS at, f.is_day AS is_day,
CASE WHEN f.at >= a.assigned_at AND f.at < 172800000000 AND f.c0 IN ('DE') THEN CAST('1e0' AS DOUBLE) IS NOT NULL ELSE FALSE END AS is0, CAST('1e0' AS DOUBLE) AS x0,
CASE WHEN f.at >= a.assigned_at AND f.at < 172800000000 THEN finite(f.c1, 'the column ''amount'' of the fact source ''Orders''') IS NOT NULL ELSE FALSE END AS is1, finite(f.c1, 'the column ''amount'' of the fact source ''Orders''') AS x1
FROM bellwether."subjects" AS a JOIN (SELECT "user" AS subject, CAST(TRY_CAST("at" AS TIMESTAMP(6)) AS BIGINT) AS at, FALSE AS is_day,
"country" AS c0,
CAST(("amount") AS DOUBLE) AS c1
FROM (
SELECT * FROM orders
) AS "facts") AS f
ON f.subject = a.subject
WHERE NOT a.is_mixed) AS facts_of_subjects
WHERE is0 OR is1
UNION ALL
SELECT subject, arm, at, is_day, FALSE AS is0, FALSE AS is1, is0 AS is2
FROM (SELECT a.subject AS subject, a.arm AS arm, f.at AS at, f.is_day AS is_day,
CASE WHEN f.at >= (a.assigned_at - a.assigned_at % 86400000000) AND f.at < 172800000000 THEN CAST('1e0' AS DOUBLE) IS NOT NULL ELSE FALSE END AS is0, CAST('1e0' AS DOUBLE) AS x0
FROM bellwether."subjects" AS a JOIN (SELECT "user" AS subject, CAST(TRY_CAST("day" AS TIMESTAMP(6)) AS BIGINT) AS at, TRUE AS is_day
FROM (
SELECT * FROM orders
) AS "facts") AS f
ON f.subject = a.subject
WHERE NOT a.is_mixed) AS facts_of_subjects
WHERE is0;

-- Funnel: steps: Fetched
SELECT arm, COUNT(t0) AS reached_0, COUNT(t1) AS reached_1, COUNT(t2) AS reached_2
FROM (SELECT c.subject AS subject, c.arm AS arm, MIN(c.t0) AS t0, MIN(c.t1) AS t1, MIN(CASE WHEN f.at IS NOT NULL THEN greatest(f.at, c.t1) END) AS t2
FROM (SELECT c.subject AS subject, c.arm AS arm, MIN(c.t0) AS t0, MIN(CASE WHEN f.at IS NOT NULL THEN greatest(f.at, c.t0) END) AS t1
FROM (SELECT subject, arm, MIN(at) AS t0
FROM bellwether."funnel_2"
WHERE is0
GROUP BY subject, arm) AS c
LEFT JOIN (SELECT subject, at, is_day, is0 FROM bellwether."funnel_2" WHERE is1) AS f
ON f.subject = c.subject AND f.at >= (CASE WHEN f.is_day THEN (c.t0 - c.t0 % 86400000000) ELSE c.t0 END) AND (f.at > c.t0 OR NOT f.is0) AND f.at < (CASE WHEN f.is_day THEN (c.t0 - c.t0 % 86400000000) ELSE c.t0 END) + 172800000000
GROUP BY c.subject, c.arm) AS c
LEFT JOIN (SELECT subject, at, is_day, is0, is1 FROM bellwether."funnel_2" WHERE is2) AS f
ON f.subject = c.subject AND f.at >= (CASE WHEN f.is_day THEN (c.t1 - c.t1 % 86400000000) ELSE c.t1 END) AND (f.at > c.t0 OR NOT f.is0) AND (f.at > c.t1 OR NOT f.is1) AND f.at < (CASE WHEN f.is_day THEN (c.t0 - c.t0 % 86400000000) ELSE c.t0 END) + 172800000000
GROUP BY c.subject, c.arm) AS subjects_with_steps
GROUP BY arm;

