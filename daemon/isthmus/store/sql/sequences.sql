-- name: batch_add
-- Keep a batch under the next number of its sequence.
INSERT INTO batches (instance, sequence, seq, payload, frozen_at)
VALUES (:instance, :sequence, :seq, :payload, :now);

-- name: batch_key_add
-- Remember which batch a delivery went into.
INSERT INTO batch_keys (instance, key, sequence, seq) VALUES (:instance, :key, :sequence, :seq);

-- name: batch_keys
-- The batches some deliveries are in.
SELECT key, sequence, seq FROM batch_keys
WHERE instance = :instance AND key IN (SELECT value FROM json_each(:keys));

-- name: batch_get
-- The bytes of one batch.
SELECT payload FROM batches WHERE instance = :instance AND sequence = :sequence AND seq = :seq;

-- name: batch_last
-- The newest number of a sequence.
SELECT seq FROM batches WHERE instance = :instance AND sequence = :sequence ORDER BY seq DESC LIMIT 1;
