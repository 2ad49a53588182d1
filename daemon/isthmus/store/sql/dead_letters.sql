-- name: dead_letter_intake
-- A record of a source that could not be read; the same one read twice adds nothing.
INSERT INTO dead_letters (origin, lane_or_source, subject, error_class, reason, peer_words, payload_hash,
                          payload_place, payload, opened_at)
VALUES ('intake', :lane_or_source, :subject, :error_class, :reason, :peer_words, :payload_hash,
        :payload_place, :payload, :now)
ON CONFLICT (lane_or_source, payload_hash, payload_place) WHERE origin = 'intake' DO NOTHING
RETURNING id;

-- name: dead_letter_of_event
-- A delivery or a rule that failed for good; while it is unsolved, a new failure refreshes the same item.
INSERT INTO dead_letters (origin, lane_or_source, seq, subject, error_class, reason, peer_words, payload_hash,
                          payload_place, payload, opened_at)
VALUES (:origin, :lane_or_source, :seq, :subject, :error_class, :reason, :peer_words, :payload_hash,
        :payload_place, :payload, :now)
ON CONFLICT (lane_or_source, seq) WHERE origin <> 'intake' AND state IN ('open', 'retrying')
DO UPDATE SET error_class = excluded.error_class, reason = excluded.reason, peer_words = excluded.peer_words,
  state = 'open'
RETURNING id;

-- name: dead_letter_get
-- One work item.
SELECT id, origin, lane_or_source, seq, subject, error_class, reason, peer_words, payload_hash, payload_place,
       payload, opened_at, state, resolved_at, resolved_by, note, assigned_to
FROM dead_letters WHERE id = :id;

-- name: dead_letter_unsolved
-- The unsolved work item of a delivery or of an event a process choked on.
SELECT id, origin, lane_or_source, seq, subject, error_class, reason, peer_words, payload_hash, payload_place,
       payload, opened_at, state, resolved_at, resolved_by, note, assigned_to
FROM dead_letters
WHERE lane_or_source = :lane_or_source AND seq = :seq AND origin <> 'intake' AND state IN ('open', 'retrying');

-- name: dead_letters_page
-- A page of work items in the order they were opened.
SELECT id, origin, lane_or_source, seq, subject, error_class, reason, peer_words, payload_hash, payload_place,
       payload, opened_at, state, resolved_at, resolved_by, note, assigned_to
FROM dead_letters
WHERE id > :after AND (:origin IS NULL OR origin = :origin)
  AND (:lane_or_source IS NULL OR lane_or_source = :lane_or_source)
  AND (:subject IS NULL OR subject = :subject) AND (:error_class IS NULL OR error_class = :error_class)
ORDER BY id LIMIT :limit;

-- name: dead_letters_page_in_state
-- A page of work items in one state.
SELECT id, origin, lane_or_source, seq, subject, error_class, reason, peer_words, payload_hash, payload_place,
       payload, opened_at, state, resolved_at, resolved_by, note, assigned_to
FROM dead_letters
WHERE state = :state AND id > :after AND (:origin IS NULL OR origin = :origin)
  AND (:lane_or_source IS NULL OR lane_or_source = :lane_or_source)
  AND (:subject IS NULL OR subject = :subject) AND (:error_class IS NULL OR error_class = :error_class)
ORDER BY id LIMIT :limit;

-- name: dead_letter_mark
-- What became of a work item, and who decided.
UPDATE dead_letters SET state = :state, resolved_at = :resolved_at, resolved_by = :by, note = :note
WHERE id = :id;

-- name: dead_letters_counts
-- Work items by origin, place and state that still need somebody.
SELECT origin, lane_or_source, state, count(*) FROM dead_letters
WHERE state IN ('open', 'retrying') GROUP BY origin, lane_or_source, state;

-- name: dead_letter_assign
-- Whose work it is.
UPDATE dead_letters SET assigned_to = :to WHERE id = :id;

-- name: exception_note_add
-- What somebody found out; kept for good.
INSERT INTO exception_notes (exception, at, by, text) VALUES (:id, :now, :by, :text);

-- name: exception_notes_of
-- What people noted, oldest first.
SELECT at, by, text FROM exception_notes WHERE exception = :id ORDER BY note;

-- name: proposal_put
-- What one person wants to do, until a second one agrees.
INSERT INTO proposals (exception, act, detail, at, by, reason) VALUES (:id, :act, :detail, :now, :by, :reason)
ON CONFLICT (exception) DO UPDATE
SET act = excluded.act, detail = excluded.detail, at = excluded.at, by = excluded.by, reason = excluded.reason;

-- name: proposal_get
-- What waits for a second person.
SELECT act, detail, at, by, reason FROM proposals WHERE exception = :id;

-- name: proposal_drop
-- It was agreed to, or the exception is over.
DELETE FROM proposals WHERE exception = :id;

-- name: dead_letters_unsolved
-- A page of what nobody has solved, with as much of its event as says whose it is and what is at stake.
SELECT d.id, d.state, d.assigned_to, d.lane_or_source, d.error_class, d.subject, e.type,
       json_extract(e.payload, '$.amount'), json_extract(e.payload, '$.total'),
       json_extract(e.payload, '$.currency')
FROM dead_letters AS d LEFT JOIN log AS e ON e.seq = d.seq
WHERE d.state = :state AND d.id > :after
ORDER BY d.id LIMIT :limit;
