-- name: edit_put
-- What a lane sends in place of a fact; a later edit takes the place of an earlier one.
INSERT INTO edits (lane, seq, payload, at, by, reason) VALUES (:lane, :seq, :payload, :now, :by, :reason)
ON CONFLICT (lane, seq) DO UPDATE
SET payload = excluded.payload, at = excluded.at, by = excluded.by, reason = excluded.reason;

-- name: edits_of
-- The edits of some facts of a lane.
SELECT seq, CAST(payload AS BLOB), at, by, reason FROM edits
WHERE lane = :lane AND seq IN (SELECT value FROM json_each(:seqs));
