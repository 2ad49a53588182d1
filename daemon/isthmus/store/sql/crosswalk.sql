-- name: crosswalk_add
-- Link our key with theirs unless it is linked; a remote id linked to another key breaks the unique index.
INSERT INTO crosswalk (kind, key, system, remote_id, linked_at) VALUES (:kind, :key, :system, :remote_id, :now)
ON CONFLICT DO NOTHING;

-- name: crosswalk_remote
-- Their id for our key.
SELECT remote_id FROM crosswalk WHERE kind = :kind AND key = :key AND system = :system;

-- name: crosswalk_key_of
-- Our key for their id.
SELECT key FROM crosswalk WHERE system = :system AND kind = :kind AND remote_id = :remote_id;

-- name: crosswalk_unlink
-- A person takes a wrong link back.
DELETE FROM crosswalk WHERE kind = :kind AND key = :key AND system = :system;

-- name: crosswalk_systems_of
-- Every system that knows a key, over all kinds: hop from kind to kind along the primary key.
WITH RECURSIVE known (kind) AS (
  SELECT min(kind) FROM crosswalk
  UNION ALL
  SELECT (SELECT min(kind) FROM crosswalk WHERE kind > known.kind) FROM known WHERE known.kind IS NOT NULL
)
SELECT c.kind, c.key, c.system, c.remote_id, c.linked_at
FROM known CROSS JOIN crosswalk AS c ON c.kind = known.kind AND c.key = :key
ORDER BY c.kind, c.system;

-- name: crosswalk_keys_of_record
-- Our keys for a record id of any system: an admin pastes what they see on a screen.
SELECT DISTINCT key FROM crosswalk WHERE remote_id = :remote_id;
