-- name: api_token_add
-- A new token; its name must not be in use.
INSERT INTO api_tokens (id, name, source, scopes, digest, created_at, created_by, expires_at)
VALUES (:id, :name, :source, :scopes, :digest, :now, :by, :expires_at);

-- name: api_token_get
-- One token, asked for with each request.
SELECT id, name, source, scopes, digest, created_at, created_by, expires_at, revoked_at, revoked_by
FROM api_tokens WHERE id = :id;

-- name: api_token_named
-- The token that has a name now.
SELECT id, name, source, scopes, digest, created_at, created_by, expires_at, revoked_at, revoked_by
FROM api_tokens WHERE name = :name AND revoked_at IS NULL;

-- name: api_tokens_all
-- Every token there ever was: some for each system that calls.
SELECT id, name, source, scopes, digest, created_at, created_by, expires_at, revoked_at, revoked_by
FROM api_tokens ORDER BY name, created_at;

-- name: api_token_revoke
-- From now on it opens nothing.
UPDATE api_tokens SET revoked_at = :now, revoked_by = :by WHERE id = :id AND revoked_at IS NULL;

-- name: api_answer_get
-- What was answered under a key.
SELECT fingerprint, status, body FROM api_answers WHERE source = :source AND key = :key;

-- name: api_answer_add
-- Remember an answer, in the transaction of what it tells.
INSERT INTO api_answers (source, key, fingerprint, status, body, at)
VALUES (:source, :key, :fingerprint, :status, :body, :now);

-- name: api_answers_forget
-- Answers nobody asks for again; a few at a time.
DELETE FROM api_answers WHERE (source, key) IN
  (SELECT source, key FROM api_answers WHERE at < :before ORDER BY at LIMIT :limit);
