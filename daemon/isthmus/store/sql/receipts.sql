-- name: receipt_add
-- The proof of one delivery; the first one stays. Bound by position: lane, seq, remote_id, detail, delivered_at.
INSERT INTO receipts (lane, seq, remote_id, detail, delivered_at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (lane, seq) DO NOTHING;

-- name: receipts_done_since
-- What a lane has delivered beyond its position.
SELECT seq FROM receipts WHERE lane = :lane AND seq > :seq;

-- name: receipt_get
-- The receipt of one delivery.
SELECT lane, seq, remote_id, detail, delivered_at FROM receipts WHERE lane = :lane AND seq = :seq;

-- name: receipts_of_event
-- The receipts of an event over all lanes: hop from lane to lane along the primary key, no second index needed.
WITH RECURSIVE known (lane) AS (
  SELECT min(lane) FROM receipts
  UNION ALL
  SELECT (SELECT min(lane) FROM receipts WHERE lane > known.lane) FROM known WHERE known.lane IS NOT NULL
)
SELECT r.lane, r.seq, r.remote_id, r.detail, r.delivered_at
FROM known CROSS JOIN receipts AS r ON r.lane = known.lane AND r.seq = :seq
ORDER BY r.lane;

-- name: receipts_newest_revision
-- The highest revision of a business key that a lane has delivered.
SELECT max(l.revision) FROM log AS l CROSS JOIN receipts AS r ON r.lane = :lane AND r.seq = l.seq
WHERE l.subject = :subject AND (:noun IS NULL OR substr(l.type, 1, length(:noun)) = :noun);

-- name: receipts_after
-- Receipts of one lane behind an event, for a comparison that reads them beside the log.
SELECT seq, remote_id, detail FROM receipts WHERE lane = :lane AND seq > :after ORDER BY seq LIMIT :limit;
