-- name: seal_add
-- One page of digests; its act in the audit chain was written just before.
INSERT INTO seals (act, book, after, upto, seqs, digests) VALUES (:act, :book, :after, :upto, :seqs, :digests);

-- name: seal_get
-- The page of one act.
SELECT CAST(book AS BLOB), CAST(after AS INTEGER), CAST(upto AS INTEGER), CAST(seqs AS BLOB), CAST(digests AS BLOB)
FROM seals WHERE act = :act;

-- name: seals_upto
-- How far a book is sealed.
SELECT max(upto) FROM seals WHERE book = :book;

-- name: seal_log_page
-- Events to digest, whole. Text is read as bytes: what was tampered with need not be text any more.
SELECT seq, CAST(id AS BLOB), CAST(type AS BLOB), CAST(entity AS BLOB), CAST(subject AS BLOB), CAST(thread AS BLOB),
       revision, stale, CAST(recorded_at AS BLOB), CAST(payload AS BLOB)
FROM log WHERE seq > :after AND seq <= :upto ORDER BY seq LIMIT :limit;

-- name: seal_receipts_page
-- Receipts of a lane to digest, whole.
SELECT CAST(seq AS INTEGER), CAST(remote_id AS BLOB), CAST(detail AS BLOB), CAST(delivered_at AS BLOB)
FROM receipts WHERE lane = :lane AND seq > :after AND seq <= :upto ORDER BY seq LIMIT :limit;

-- name: seal_receipts_late
-- Receipts of a lane that came when their place was sealed already.
SELECT CAST(r.seq AS INTEGER), CAST(r.remote_id AS BLOB), CAST(r.detail AS BLOB), CAST(r.delivered_at AS BLOB)
FROM late_receipts AS late CROSS JOIN receipts AS r ON r.lane = late.lane AND r.seq = late.seq
WHERE late.lane = :lane ORDER BY r.seq LIMIT :limit;

-- name: seal_receipts_of
-- Some receipts of a lane, whole.
SELECT CAST(seq AS INTEGER), CAST(remote_id AS BLOB), CAST(detail AS BLOB), CAST(delivered_at AS BLOB)
FROM receipts WHERE lane = :lane AND seq IN (SELECT value FROM json_each(:seqs)) ORDER BY seq;

-- name: late_receipt_add
-- A receipt that came late waits to be sealed.
INSERT INTO late_receipts (lane, seq) VALUES (:lane, :seq) ON CONFLICT (lane, seq) DO NOTHING;

-- name: late_receipts_sealed
-- These are sealed now.
DELETE FROM late_receipts WHERE lane = :lane AND seq IN (SELECT value FROM json_each(:seqs));

-- name: late_receipts_of
-- The late receipts of a lane that wait to be sealed.
SELECT seq FROM late_receipts WHERE lane = :lane;
