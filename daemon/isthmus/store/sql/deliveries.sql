-- name: delivery_postpone
-- A delivery waits for another try (or for a person, in doubt). The first failure's time is kept.
INSERT INTO deliveries (lane, seq, subject, state, attempts, due_at, first_failed_at, error_class, error_text)
VALUES (:lane, :seq, :subject, :state, :attempts, :due_at, :now, :error_class, :error_text)
ON CONFLICT (lane, seq) DO UPDATE SET state = excluded.state, attempts = excluded.attempts,
  due_at = excluded.due_at, first_failed_at = coalesce(deliveries.first_failed_at, excluded.first_failed_at),
  error_class = excluded.error_class, error_text = excluded.error_text;

-- name: delivery_hold_back
-- A delivery waits for our own books; what failed before is forgiven, so that its patience begins anew.
INSERT INTO deliveries (lane, seq, subject, state, due_at, error_class, error_text)
VALUES (:lane, :seq, :subject, 'waiting', :due_at, :error_class, :error_text)
ON CONFLICT (lane, seq) DO UPDATE SET state = 'waiting', attempts = 0, first_failed_at = NULL,
  due_at = excluded.due_at, error_class = excluded.error_class, error_text = excluded.error_text;

-- name: delivery_crashed
-- The process died with this delivery in hand: count it, so that a poison pill is found.
INSERT INTO deliveries (lane, seq, subject, state, crashes, due_at, first_failed_at, error_class, error_text)
VALUES (:lane, :seq, :subject, 'waiting', 1, :now, :now, 'Crashed', 'the daemon stopped during the call')
ON CONFLICT (lane, seq) DO UPDATE SET crashes = deliveries.crashes + 1,
  first_failed_at = coalesce(deliveries.first_failed_at, excluded.first_failed_at)
RETURNING crashes;

-- name: delivery_queue_behind
-- Line up behind an older open delivery of the subject, or be due at once when there is none.
INSERT INTO deliveries (lane, seq, subject, state, due_at)
SELECT :lane, :seq, :subject,
       CASE WHEN EXISTS (SELECT 1 FROM deliveries AS older
                         WHERE older.lane = :lane AND older.subject = :subject AND older.seq < :seq
                           AND (older.state <> 'dead' OR :hold_on_dead))
            THEN 'blocked' ELSE 'waiting' END,
       :now
WHERE true
ON CONFLICT (lane, seq) DO NOTHING
RETURNING state;

-- name: delivery_get
-- One delivery that did not simply succeed.
SELECT lane, seq, subject, state, attempts, crashes, due_at, first_failed_at, error_class, error_text
FROM deliveries WHERE lane = :lane AND seq = :seq;

-- name: deliveries_of_event
-- Where an event is stuck, over all lanes.
SELECT lane, seq, subject, state, attempts, crashes, due_at, first_failed_at, error_class, error_text
FROM deliveries WHERE seq = :seq ORDER BY lane;

-- name: deliveries_page
-- A page of a lane's troubles in one state.
SELECT lane, seq, subject, state, attempts, crashes, due_at, first_failed_at, error_class, error_text
FROM deliveries WHERE lane = :lane AND seq > :after AND (:state IS NULL OR state = :state)
ORDER BY seq LIMIT :limit;

-- name: deliveries_due
-- What may be tried now: the longest due first, and only the oldest open delivery of a subject.
SELECT d.lane, d.seq, d.subject, d.state, d.attempts, d.crashes, d.due_at, d.first_failed_at,
       d.error_class, d.error_text
FROM deliveries AS d
WHERE d.lane = :lane AND d.state = 'waiting' AND d.due_at <= :now
  AND NOT EXISTS (SELECT 1 FROM deliveries AS older
                  WHERE older.lane = d.lane AND older.subject = d.subject AND older.seq < d.seq
                    AND older.state <> 'dead')
ORDER BY d.due_at, d.seq LIMIT :limit;

-- name: deliveries_next_due_at
-- When a lane must look again.
SELECT min(due_at) FROM deliveries WHERE lane = :lane AND state = 'waiting';

-- name: deliveries_oldest_due
-- The age of the oldest delivery that waits or is blocked.
SELECT min(due_at) FROM (SELECT min(due_at) AS due_at FROM deliveries WHERE lane = :lane AND state = 'waiting'
                         UNION ALL
                         SELECT min(due_at) FROM deliveries WHERE lane = :lane AND state = 'blocked');

-- name: deliveries_any
-- Whether a lane has any trouble: mostly it has none, and nothing more needs to be asked.
SELECT 1 FROM deliveries WHERE lane = :lane LIMIT 1;

-- name: deliveries_held
-- Which of these subjects have something open that later facts must wait for.
SELECT DISTINCT wanted.value FROM json_each(:subjects) AS wanted
WHERE EXISTS (SELECT 1 FROM deliveries AS d
              WHERE d.lane = :lane AND d.subject = wanted.value AND (d.state <> 'dead' OR :hold_on_dead));

-- name: delivery_remove
-- Delivered, skipped or given up by a person: the row goes, its subject is told.
DELETE FROM deliveries WHERE lane = :lane AND seq = :seq RETURNING subject;

-- name: delivery_unblock_next
-- The oldest blocked delivery of a subject may go, if nothing older is open any more.
UPDATE deliveries SET state = 'waiting'
WHERE lane = :lane
  AND seq = (SELECT min(next.seq) FROM deliveries AS next
             WHERE next.lane = :lane AND next.subject = :subject AND next.state = 'blocked')
  AND NOT EXISTS (SELECT 1 FROM deliveries AS older
                  WHERE older.lane = :lane AND older.subject = :subject AND older.seq < deliveries.seq
                    AND (older.state <> 'dead' OR :hold_on_dead));

-- name: delivery_bury
-- Waiting cannot help: a person decides.
INSERT INTO deliveries (lane, seq, subject, state, attempts, due_at, first_failed_at, error_class, error_text)
VALUES (:lane, :seq, :subject, 'dead', :attempts, :now, :now, :error_class, :error_text)
ON CONFLICT (lane, seq) DO UPDATE SET state = 'dead', attempts = excluded.attempts,
  first_failed_at = coalesce(deliveries.first_failed_at, excluded.first_failed_at),
  error_class = excluded.error_class, error_text = excluded.error_text;

-- name: delivery_revive
-- A person lets a dead or doubtful delivery go again, as if new; it waits its turn within its subject.
UPDATE deliveries SET attempts = 0, crashes = 0, first_failed_at = NULL, due_at = :now,
  state = CASE WHEN EXISTS (SELECT 1 FROM deliveries AS older
                            WHERE older.lane = :lane AND older.subject = deliveries.subject
                              AND older.seq < deliveries.seq AND (older.state <> 'dead' OR :hold_on_dead))
               THEN 'blocked' ELSE 'waiting' END
WHERE lane = :lane AND seq = :seq AND state IN ('dead', 'in_doubt');

-- name: delivery_schedule
-- Put an event before a lane again (replay): due now, in its turn within its subject.
INSERT INTO deliveries (lane, seq, subject, state, due_at)
VALUES (:lane, :seq, :subject, 'waiting', :now)
ON CONFLICT (lane, seq) DO NOTHING;

-- name: deliveries_counts
-- Troubles by lane and state. The table holds only troubles.
SELECT lane, state, count(*) FROM deliveries GROUP BY lane, state;

-- name: deliveries_blocked_subjects
-- Business keys held back behind something open, by lane. The table holds only troubles.
SELECT lane, count(DISTINCT subject) FROM deliveries WHERE state = 'blocked' GROUP BY lane;
