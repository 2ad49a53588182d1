-- name: audit_add
-- One act by hand; its hash covers the row before it.
INSERT INTO audit (seq, at, actor, act, detail, prev, hash) VALUES (:seq, :at, :actor, :act, :detail, :prev, :hash);

-- name: audit_last
-- The end of the chain.
SELECT seq, hash FROM audit WHERE seq = (SELECT max(seq) FROM audit);

-- name: audit_at
-- The hash of one link.
SELECT hash FROM audit WHERE seq = :seq;

-- name: audit_page
-- A page of the trail, oldest first.
SELECT seq, at, actor, act, detail, prev, hash FROM audit WHERE seq > :after ORDER BY seq LIMIT :limit;
