-- name: state_get
-- What a process remembers under a key.
SELECT state FROM process_state WHERE process = :process AND key = :key;

-- name: states_get
-- What a process remembers under some keys.
SELECT key, state FROM process_state
WHERE process = :process AND key IN (SELECT value FROM json_each(:keys));

-- name: state_put
-- Remember, in the same transaction as the facts derived from it. By position: process, key, state.
INSERT INTO process_state (process, key, state) VALUES (?, ?, ?)
ON CONFLICT (process, key) DO UPDATE SET state = excluded.state;

-- name: states_page
-- A page of a process's memory, by key.
SELECT key, state FROM process_state WHERE process = :process AND key > :after ORDER BY key LIMIT :limit;

-- name: state_drop
-- Forget one key.
DELETE FROM process_state WHERE process = :process AND key = :key;

-- name: states_drop
-- Forget all of it, before a process is run from the start again.
DELETE FROM process_state WHERE process = :process;
