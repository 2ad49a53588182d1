-- name: intent_open
-- Written before a remote call: after a crash we know what may have happened.
INSERT INTO intents (lane, seqs, started_at, generation) VALUES (:lane, :seqs, :now, :generation) RETURNING call;

-- name: intent_close
-- The call's outcome is known.
DELETE FROM intents WHERE call = :call;

-- name: intents_unfinished
-- Calls of a lane whose outcome nobody wrote down.
SELECT call, lane, seqs, started_at, generation FROM intents WHERE lane = :lane ORDER BY call;
