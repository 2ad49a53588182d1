-- The first schema. Every table is STRICT, so a number can never sit in a text column unnoticed.

-- What happened, in the order we learnt it. `id` is the natural key source/kind/key/revision: it grows
-- roughly in order, which keeps its index cheap however long the history; there is no other unique index.
CREATE TABLE log (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  type TEXT NOT NULL,
  entity TEXT NOT NULL,
  subject TEXT NOT NULL,
  thread TEXT NOT NULL,
  revision INTEGER NOT NULL,
  stale INTEGER NOT NULL DEFAULT 0 CHECK (stale IN (0, 1)),
  recorded_at TEXT NOT NULL,
  payload TEXT NOT NULL
) STRICT;
CREATE INDEX log_by_subject ON log (subject, revision);
-- An index carries the row's seq, so a thread is read in order without naming seq here.
CREATE INDEX log_by_thread ON log (thread);
CREATE TRIGGER log_is_not_rewritten BEFORE UPDATE ON log
BEGIN SELECT RAISE(ABORT, 'the log is append-only: a correction is a new event'); END;
CREATE TRIGGER log_is_not_deleted BEFORE DELETE ON log
BEGIN SELECT RAISE(ABORT, 'the log is append-only: without it a source read again would count twice'); END;

-- How far each lane has read the log. Apart from `lanes`, because it moves with every batch.
CREATE TABLE positions (
  lane TEXT PRIMARY KEY,
  seq INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE lanes (
  lane TEXT PRIMARY KEY,
  stage TEXT NOT NULL DEFAULT 'live' CHECK (stage IN ('off', 'shadow', 'live')),
  state TEXT NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'paused', 'parked')),
  reason TEXT NOT NULL DEFAULT '',
  changed_by TEXT NOT NULL DEFAULT '',
  changed_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Only what failed, waits, is in doubt or dead has a row here; what went well has a receipt.
CREATE TABLE deliveries (
  lane TEXT NOT NULL,
  seq INTEGER NOT NULL REFERENCES log (seq),
  subject TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('waiting', 'blocked', 'in_doubt', 'dead')),
  attempts INTEGER NOT NULL DEFAULT 0,
  crashes INTEGER NOT NULL DEFAULT 0,
  due_at TEXT NOT NULL,
  first_failed_at TEXT,
  error_class TEXT NOT NULL DEFAULT '',
  error_text TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (lane, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX deliveries_by_due ON deliveries (lane, state, due_at);
CREATE INDEX deliveries_by_subject ON deliveries (lane, subject, seq);
CREATE INDEX deliveries_by_event ON deliveries (seq);

-- One row per remote call, written before it: what is left here after a crash may have happened.
CREATE TABLE intents (
  call INTEGER PRIMARY KEY AUTOINCREMENT,
  lane TEXT NOT NULL,
  seqs TEXT NOT NULL,
  started_at TEXT NOT NULL,
  generation INTEGER NOT NULL
) STRICT;
CREATE INDEX intents_by_lane ON intents (lane);

-- The proof of a delivery: the other side's own reference.
CREATE TABLE receipts (
  lane TEXT NOT NULL,
  seq INTEGER NOT NULL,
  remote_id TEXT NOT NULL,
  detail TEXT NOT NULL DEFAULT '',
  delivered_at TEXT NOT NULL,
  PRIMARY KEY (lane, seq)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER receipts_are_not_rewritten BEFORE UPDATE ON receipts
BEGIN SELECT RAISE(ABORT, 'a receipt is kept as it was given'); END;
CREATE TRIGGER receipts_are_not_deleted BEFORE DELETE ON receipts
BEGIN SELECT RAISE(ABORT, 'a receipt is kept for good'); END;

-- How far we have read a source. The bytes are the connector's own; we never look inside.
CREATE TABLE cursors (
  source TEXT NOT NULL,
  entity TEXT NOT NULL,
  position BLOB NOT NULL,
  updated_at TEXT NOT NULL,
  PRIMARY KEY (source, entity)
) STRICT, WITHOUT ROWID;

-- Our key and theirs.
CREATE TABLE crosswalk (
  kind TEXT NOT NULL,
  key TEXT NOT NULL,
  system TEXT NOT NULL,
  remote_id TEXT NOT NULL,
  linked_at TEXT NOT NULL,
  PRIMARY KEY (kind, key, system)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX crosswalk_by_remote ON crosswalk (system, kind, remote_id);

-- What a person must look at: a record that could not be read, a delivery that was refused, a rule that failed.
CREATE TABLE dead_letters (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  origin TEXT NOT NULL CHECK (origin IN ('intake', 'delivery', 'process')),
  lane_or_source TEXT NOT NULL,
  seq INTEGER,
  subject TEXT NOT NULL DEFAULT '',
  error_class TEXT NOT NULL,
  reason TEXT NOT NULL,
  peer_words TEXT NOT NULL DEFAULT '',
  payload_hash TEXT NOT NULL DEFAULT '',
  payload_place TEXT NOT NULL DEFAULT '',
  payload BLOB,
  opened_at TEXT NOT NULL,
  state TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'retrying', 'resolved', 'skipped')),
  resolved_at TEXT,
  resolved_by TEXT NOT NULL DEFAULT '',
  note TEXT NOT NULL DEFAULT ''
) STRICT;
-- A page read twice refuses the same record once.
CREATE UNIQUE INDEX dead_letters_intake ON dead_letters (lane_or_source, payload_hash, payload_place)
  WHERE origin = 'intake';
-- One open work item per delivery, and per event a process choked on.
CREATE UNIQUE INDEX dead_letters_unsolved ON dead_letters (lane_or_source, seq)
  WHERE origin <> 'intake' AND state IN ('open', 'retrying');
CREATE INDEX dead_letters_by_state ON dead_letters (state);

-- What a process remembers, as JSON.
CREATE TABLE process_state (
  process TEXT NOT NULL,
  key TEXT NOT NULL,
  state TEXT NOT NULL,
  PRIMARY KEY (process, key)
) STRICT, WITHOUT ROWID;

-- Who did what by hand. Each row's hash covers the one before it, so a changed or missing row shows.
CREATE TABLE audit (
  seq INTEGER PRIMARY KEY,
  at TEXT NOT NULL,
  actor TEXT NOT NULL,
  act TEXT NOT NULL,
  detail TEXT NOT NULL,
  prev BLOB NOT NULL,
  hash BLOB NOT NULL
) STRICT;
CREATE TRIGGER audit_is_not_rewritten BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;

-- Who may write: the generation grows with every start, and each write transaction checks it.
CREATE TABLE instance (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  generation INTEGER NOT NULL,
  holder TEXT NOT NULL,
  started_at TEXT NOT NULL,
  closed_cleanly INTEGER NOT NULL CHECK (closed_cleanly IN (0, 1))
) STRICT;
INSERT INTO instance (one, generation, holder, started_at, closed_cleanly) VALUES (1, 0, '', '', 1);
