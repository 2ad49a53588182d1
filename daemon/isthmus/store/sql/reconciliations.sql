-- name: reconcile_run_add
-- One comparison of a pair, with what came of it.
INSERT INTO reconcile_runs (pair, since, until, started_at, ended_at, by, compared, matched, timing, explained,
                            drift, held, amounts, error)
VALUES (:pair, :since, :until, :started_at, :ended_at, :by, :compared, :matched, :timing, :explained,
        :drift, :held, :amounts, :error)
RETURNING run;

-- name: reconcile_run_get
-- One comparison.
SELECT run, pair, since, until, started_at, ended_at, by, compared, matched, timing, explained, drift, held,
       amounts, error
FROM reconcile_runs WHERE run = :run;

-- name: reconcile_runs_of_pair
-- The comparisons of a pair, the newest first.
SELECT run, pair, since, until, started_at, ended_at, by, compared, matched, timing, explained, drift, held,
       amounts, error
FROM reconcile_runs WHERE pair = :pair AND (:whole = 0 OR error = '') ORDER BY run DESC LIMIT :limit;

-- name: difference_add
-- One difference of a comparison.
INSERT INTO differences (run, pair, key, kind, side, state, fingerprint, first_seen_at, body)
VALUES (:run, :pair, :key, :kind, :side, :state, :fingerprint, :first_seen_at, :body);

-- name: differences_of_run
-- What a comparison found, by number.
SELECT id, run, pair, key, kind, side, state, fingerprint, first_seen_at, body
FROM differences WHERE run = :run AND id > :after ORDER BY id LIMIT :limit;

-- name: difference_get
-- One difference by its number.
SELECT id, run, pair, key, kind, side, state, fingerprint, first_seen_at, body
FROM differences WHERE id = :id;

-- name: explanation_put
-- Why a difference is no mistake; a newer word takes its place.
INSERT INTO explanations (pair, fingerprint, reason, by, at) VALUES (:pair, :fingerprint, :reason, :by, :at)
ON CONFLICT (pair, fingerprint) DO UPDATE SET reason = excluded.reason, by = excluded.by, at = excluded.at;

-- name: explanations_of_pair
-- Every explanation of a pair.
SELECT fingerprint, reason, by, at FROM explanations WHERE pair = :pair;
