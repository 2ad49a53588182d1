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
