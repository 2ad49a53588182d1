-- name: audit_add
-- One act by hand; its hash covers the row before it.
INSERT INTO audit (seq, at, actor, act, detail, prev, hash) VALUES (:seq, :at, :actor, :act, :detail, :prev, :hash);

-- name: audit_last
-- The end of the chain.
SELECT seq, hash FROM audit WHERE seq = (SELECT max(seq) FROM audit);

-- name: audit_page
-- A page of the trail, oldest first.
SELECT seq, at, actor, act, detail, prev, hash FROM audit WHERE seq > :after ORDER BY seq LIMIT :limit;

-- name: audit_chain
-- A page of the trail to be verified. Text is read as bytes: what was tampered with need not be text any more.
SELECT seq, CAST(at AS BLOB), CAST(actor AS BLOB), CAST(act AS BLOB), CAST(detail AS BLOB),
       CAST(prev AS BLOB), CAST(hash AS BLOB)
FROM audit WHERE seq > :after AND seq <= :upto ORDER BY seq LIMIT :limit;
