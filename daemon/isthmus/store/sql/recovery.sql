-- name: doubts_due
-- Deliveries in doubt that may be looked up now, of each subject only the oldest open one.
SELECT d.seq FROM deliveries AS d
WHERE d.lane = :lane AND d.state = 'in_doubt' AND d.due_at <= :now
  AND NOT EXISTS (SELECT 1 FROM deliveries AS older
                  WHERE older.lane = d.lane AND older.subject = d.subject AND older.seq < d.seq
                    AND older.state <> 'dead')
ORDER BY d.due_at, d.seq LIMIT :limit;

-- name: deliveries_next_after
-- When the next row of a lane falls due; what is due already does not hide what comes later.
SELECT min(due_at) FROM (SELECT min(due_at) AS due_at FROM deliveries
                         WHERE lane = :lane AND state = 'waiting' AND due_at > :now
                         UNION ALL
                         SELECT min(due_at) FROM deliveries
                         WHERE lane = :lane AND state = 'in_doubt' AND due_at > :now AND due_at < :never);

-- name: deliveries_seqs_since
-- Rows beyond a position, so that a restarted lane does not take their facts from the log again.
SELECT seq FROM deliveries WHERE lane = :lane AND seq > :seq;

-- name: deliveries_wake_unmet
-- What waits for a record of the peer is due at once.
UPDATE deliveries SET due_at = :now
WHERE lane = :lane AND state = 'waiting' AND due_at > :now AND error_class = 'Unmet';

-- name: deliveries_wake_gated
-- What waits for a period to be reopened is due at once.
UPDATE deliveries SET due_at = :now
WHERE lane = :lane AND state = 'waiting' AND due_at > :now AND error_class = 'NotYet';
