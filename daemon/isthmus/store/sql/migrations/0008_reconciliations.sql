-- What comparisons of pairs found, and what people explained. An explanation holds for one look of a difference.
CREATE TABLE reconcile_runs (
  run INTEGER PRIMARY KEY,
  pair TEXT NOT NULL,
  since TEXT NOT NULL,
  until TEXT NOT NULL,
  started_at TEXT NOT NULL,
  ended_at TEXT NOT NULL,
  by TEXT NOT NULL,
  compared INTEGER NOT NULL,
  matched INTEGER NOT NULL,
  timing INTEGER NOT NULL,
  explained INTEGER NOT NULL,
  drift INTEGER NOT NULL,
  held INTEGER NOT NULL,
  amounts TEXT NOT NULL,
  error TEXT NOT NULL
) STRICT;
CREATE INDEX reconcile_runs_by_pair ON reconcile_runs (pair, run);

CREATE TABLE differences (
  id INTEGER PRIMARY KEY,
  run INTEGER NOT NULL REFERENCES reconcile_runs (run),
  pair TEXT NOT NULL,
  key TEXT NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('missing', 'extra', 'amount', 'status', 'stale', 'double')),
  side TEXT NOT NULL CHECK (side IN ('left', 'right')),
  state TEXT NOT NULL CHECK (state IN ('drift', 'timing', 'explained')),
  fingerprint TEXT NOT NULL,
  first_seen_at TEXT NOT NULL,
  body TEXT NOT NULL
) STRICT;
CREATE INDEX differences_by_run ON differences (run, id);

CREATE TABLE explanations (
  pair TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  reason TEXT NOT NULL,
  by TEXT NOT NULL,
  at TEXT NOT NULL,
  PRIMARY KEY (pair, fingerprint)
) STRICT, WITHOUT ROWID;
