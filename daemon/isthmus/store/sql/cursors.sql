-- name: cursor_get
-- How far a source was read.
SELECT position FROM cursors WHERE source = :source AND entity = :entity;

-- name: cursor_move
-- Remember how far a source was read; in the same transaction as what was read.
INSERT INTO cursors (source, entity, position, updated_at) VALUES (:source, :entity, :position, :now)
ON CONFLICT (source, entity) DO UPDATE SET position = excluded.position, updated_at = excluded.updated_at;

-- name: cursor_forget
-- Read the source from its beginning again; what is known already is not counted twice.
DELETE FROM cursors WHERE source = :source AND entity = :entity;

-- name: cursors_all
-- Every cursor; a handful of rows.
SELECT source, entity, position, updated_at FROM cursors ORDER BY source, entity;

-- name: cursor_mark
-- Note where a cursor stands before its first move of an hour.
INSERT INTO cursor_marks (source, entity, hour, position)
SELECT source, entity, :hour, position FROM cursors WHERE source = :source AND entity = :entity
ON CONFLICT (source, entity, hour) DO NOTHING;

-- name: cursor_mark_before
-- Where a cursor stood at a time, as far back as the hour that had begun then.
SELECT hour, position FROM cursor_marks
WHERE source = :source AND entity = :entity AND hour <= :at ORDER BY hour DESC LIMIT 1;

-- name: cursor_marks_first
-- The oldest place that is known of a cursor.
SELECT min(hour) FROM cursor_marks WHERE source = :source AND entity = :entity;

-- name: cursor_marks_drop_after
-- A cursor that went back to an hour: what came behind it will be marked anew.
DELETE FROM cursor_marks WHERE source = :source AND entity = :entity AND hour > :hour;
