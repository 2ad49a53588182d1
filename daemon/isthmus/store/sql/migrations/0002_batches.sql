-- Numbered batches for peers that take files: the bytes are kept as they were sent.
CREATE TABLE batches (
  instance TEXT NOT NULL,
  sequence TEXT NOT NULL,
  seq INTEGER NOT NULL CHECK (seq > 0),
  payload BLOB NOT NULL,
  frozen_at TEXT NOT NULL,
  PRIMARY KEY (instance, sequence, seq)
) STRICT;
CREATE TRIGGER batches_are_not_rewritten BEFORE UPDATE ON batches
BEGIN SELECT RAISE(ABORT, 'a frozen batch never changes'); END;

CREATE TABLE batch_keys (
  instance TEXT NOT NULL,
  key TEXT NOT NULL,
  sequence TEXT NOT NULL,
  seq INTEGER NOT NULL,
  PRIMARY KEY (instance, key)
) STRICT, WITHOUT ROWID;

-- An admin asks for a story by whatever id is on the screen, not knowing whose it is.
CREATE INDEX crosswalk_by_record ON crosswalk (remote_id);
