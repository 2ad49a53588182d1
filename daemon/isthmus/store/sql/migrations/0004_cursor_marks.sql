-- Where each cursor stood when an hour began in which it moved: a cursor is opaque, so going back to a time means
-- going back to a place it was at.
CREATE TABLE cursor_marks (
  source TEXT NOT NULL,
  entity TEXT NOT NULL,
  hour TEXT NOT NULL,
  position BLOB NOT NULL,
  PRIMARY KEY (source, entity, hour)
) STRICT, WITHOUT ROWID;
