-- name: log_add
-- Append one event unless its id is known. Bound by position, since this is the hottest statement.
-- ?9 is the noun with its dot where an older revision must not be applied, else null.
INSERT INTO log (id, type, entity, subject, thread, revision, recorded_at, payload, stale)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8,
        ?9 IS NOT NULL AND EXISTS (SELECT 1 FROM log AS newer
                                   WHERE newer.subject = ?4 AND newer.revision > ?6
                                     AND substr(newer.type, 1, length(?9)) = ?9))
ON CONFLICT (id) DO NOTHING;

-- name: log_head
-- The newest seq. Rows are never deleted, so it is also the number of events.
SELECT coalesce(max(seq), 0) FROM log;

-- name: log_seqs_after
-- Which events there are, to find one that is missing.
SELECT seq FROM log WHERE seq > :after ORDER BY seq LIMIT :limit;

-- name: log_recorded_at
-- When an event, or the next one there is, was recorded.
SELECT recorded_at FROM log WHERE seq >= :seq ORDER BY seq LIMIT 1;

-- name: log_stale_after
-- How many of the rows added after a seq were stale.
SELECT count(*) FROM log WHERE seq > :seq AND stale = 1;

-- name: log_payloads_by_id
-- What was known up to a seq of a list of ids, to compare with what came in under the same ids.
SELECT id, payload FROM log WHERE id IN (SELECT value FROM json_each(:ids)) AND seq <= :before;

-- name: log_read_window
-- The next events of some types for a lane; the upper bound keeps a lane that wants few from reading on.
SELECT seq, id, entity, subject, recorded_at, CAST(payload AS BLOB)
FROM log
WHERE seq > :after AND seq <= :upto AND stale = 0
  AND type IN (SELECT value FROM json_each(:types))
ORDER BY seq LIMIT :limit;

-- name: log_by_id
-- One event by its natural key.
SELECT seq, id, type, entity, subject, thread, revision, stale, recorded_at, CAST(payload AS BLOB)
FROM log WHERE id = :id;

-- name: log_by_seqs
-- A handful of events by position.
SELECT seq, id, type, entity, subject, thread, revision, stale, recorded_at, CAST(payload AS BLOB)
FROM log WHERE seq IN (SELECT value FROM json_each(:seqs)) ORDER BY seq;

-- name: log_by_subject
-- The history of one business key, in the order we learnt it.
SELECT seq, id, type, entity, subject, thread, revision, stale, recorded_at, CAST(payload AS BLOB)
FROM log WHERE subject = :subject AND seq > :after ORDER BY seq LIMIT :limit;

-- name: log_by_thread
-- The story of one project (or contract, deal, customer), in the order we learnt it.
SELECT seq, id, type, entity, subject, thread, revision, stale, recorded_at, CAST(payload AS BLOB)
FROM log WHERE thread = :thread AND seq > :after ORDER BY seq LIMIT :limit;

-- name: log_page
-- A page of the log, filtered by type where a list is given.
SELECT seq, id, type, entity, subject, thread, revision, stale, recorded_at, CAST(payload AS BLOB)
FROM log
WHERE seq > :after AND (:types IS NULL OR type IN (SELECT value FROM json_each(:types)))
ORDER BY seq LIMIT :limit;

-- name: log_page_of_key
-- A page of the events that are about a key or belong to its thread.
SELECT seq, id, type, entity, subject, thread, revision, stale, recorded_at, CAST(payload AS BLOB)
FROM log
WHERE seq IN (SELECT seq FROM log WHERE subject = :key UNION SELECT seq FROM log WHERE thread = :key)
  AND seq > :after AND (:types IS NULL OR type IN (SELECT value FROM json_each(:types)))
ORDER BY seq LIMIT :limit;

-- name: log_mentioning
-- A page of the events whose text has some words in it, for questions no index answers; the upper bound keeps
-- one look short.
SELECT seq, id, type, entity, subject, thread, revision, stale, recorded_at, CAST(payload AS BLOB)
FROM log
WHERE seq > :after AND seq <= :upto AND instr(payload, :words) > 0
  AND (:types IS NULL OR type IN (SELECT value FROM json_each(:types)))
ORDER BY seq LIMIT :limit;

-- name: log_newest_revision
-- The highest revision of a business key that the log knows of a noun (a type up to its dot).
SELECT max(revision) FROM log WHERE subject = :subject AND substr(type, 1, length(:noun)) = :noun;
