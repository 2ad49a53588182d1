-- name: lease_take
-- A new start takes over: whoever still holds an older generation can no longer write.
UPDATE instance SET generation = generation + 1, holder = :holder, started_at = :now, closed_cleanly = 0
WHERE one = 1 RETURNING generation;

-- name: lease_generation
-- Checked at the beginning of each write transaction.
SELECT generation FROM instance WHERE one = 1;

-- name: instance_get
-- Who holds the store, and how it was left.
SELECT generation, holder, started_at, closed_cleanly FROM instance WHERE one = 1;

-- name: instance_closed
-- Left in good order: the next start need not look for damage.
UPDATE instance SET closed_cleanly = 1 WHERE one = 1 AND generation = :generation;

-- name: check_quick
-- Reads the whole file, so it is for small files and for offline checks. One row saying ok, or what is wrong.
PRAGMA quick_check(20);

-- name: check_full
-- Like check_quick, and compares every index with its table.
PRAGMA integrity_check(20);

-- name: check_references
-- Rows that refer to nothing.
PRAGMA foreign_key_check;

-- name: engine_version
-- Which SQLite works underneath, for the build info.
SELECT sqlite_version();

-- name: schema_version
-- Which migrations the file has had.
PRAGMA user_version;
