-- An ERP's posting job over the staging tables, as its own people would write it: it knows the tables only.
-- erp_claim() takes the next batch whose turn it is, erp_post() posts what is claimed, erp_run() does both.

CREATE TABLE erp_number (kind text PRIMARY KEY, last integer NOT NULL);
CREATE TABLE erp_customer (no text PRIMARY KEY, ref text UNIQUE NOT NULL, revision bigint NOT NULL, name text);
CREATE TABLE erp_project (no text PRIMARY KEY, ref text UNIQUE NOT NULL, revision bigint NOT NULL,
  customer_no text NOT NULL REFERENCES erp_customer);
CREATE TABLE erp_journal (doc_no text PRIMARY KEY, ref text UNIQUE NOT NULL, project_no text NOT NULL,
  amount numeric(20,2) NOT NULL, posted_on date NOT NULL, batch_id text NOT NULL);
CREATE TABLE erp_done (iface text PRIMARY KEY, seq integer NOT NULL);

CREATE FUNCTION erp_next(wanted text, form text) RETURNS text LANGUAGE sql AS $$
  INSERT INTO erp_number VALUES (wanted, 1)
    ON CONFLICT (kind) DO UPDATE SET last = erp_number.last + 1
    RETURNING form || lpad(last::text, 6, '0')
$$;

-- The weighted sum of the bytes of all references, modulo 10^15.
CREATE FUNCTION erp_hash(wanted text) RETURNS bigint LANGUAGE sql AS $$
  SELECT coalesce(sum(n * get_byte(convert_to(ext_ref, 'UTF8'), n - 1)), 0)::bigint % 1000000000000000
  FROM isth_line, generate_series(1, octet_length(convert_to(ext_ref, 'UTF8'))) AS n
  WHERE batch_id = wanted
$$;

CREATE PROCEDURE erp_claim(wanted text) LANGUAGE sql AS $$
  UPDATE isth_batch SET status = 'CLAIMED', claimed_at = now()
  WHERE iface = wanted AND status = 'READY'
    AND seq = 1 + coalesce((SELECT seq FROM erp_done WHERE iface = wanted), 0)
$$;

CREATE FUNCTION erp_line(line isth_line) RETURNS isth_line LANGUAGE plpgsql AS $$
DECLARE
  known record;
BEGIN
  line.status := 'REJECTED';
  line.processed_at := now();
  IF line.iface = 'customers' THEN
    SELECT * INTO known FROM erp_customer WHERE ref = line.ext_ref;
    IF NOT FOUND THEN
      INSERT INTO erp_customer VALUES (erp_next('customer', 'C'), line.ext_ref, line.revision, line.name)
        RETURNING no INTO line.erp_doc_no;
    ELSE
      UPDATE erp_customer SET revision = line.revision, name = line.name
        WHERE ref = line.ext_ref AND revision < line.revision;
      line.erp_doc_no := known.no;
    END IF;
  ELSIF line.iface = 'projects' THEN
    IF NOT EXISTS (SELECT 1 FROM erp_customer WHERE no = line.customer_no) THEN
      line.err_code := 'CUST';
      line.err_text := 'CUSTOMER ' || line.customer_no || ' UNKNOWN';
      RETURN line;
    END IF;
    SELECT * INTO known FROM erp_project WHERE ref = line.ext_ref;
    IF NOT FOUND THEN
      INSERT INTO erp_project
        VALUES (erp_next('project', 'P'), line.ext_ref, line.revision, line.customer_no)
        RETURNING no INTO line.erp_doc_no;
    ELSE
      line.erp_doc_no := known.no;
    END IF;
  ELSE
    SELECT * INTO known FROM erp_journal WHERE ref = line.ext_ref;
    IF FOUND THEN
      line.erp_doc_no := known.doc_no;
      line.posted_on := known.posted_on;
      line.posted_amount := known.amount;
      line.err_text := 'ALREADY POSTED';
    ELSIF NOT EXISTS (SELECT 1 FROM erp_project WHERE no = line.project_no) THEN
      line.err_code := 'PROJ';
      line.err_text := 'PROJECT ' || line.project_no || ' UNKNOWN';
      RETURN line;
    ELSIF EXISTS (SELECT 1 FROM isth_period WHERE company = line.company AND status = 'CLOSED'
                  AND line.posting_on BETWEEN starts_on AND ends_on) THEN
      line.err_code := 'PERI';
      line.err_text := 'PERIOD ' || to_char(line.posting_on, 'YYYY-MM') || ' IS CLOSED';
      RETURN line;
    ELSE
      line.posted_on := line.posting_on;
      line.posted_amount := line.amount;
      INSERT INTO erp_journal
        VALUES (erp_next('charge', 'D'), line.ext_ref, line.project_no, line.amount, line.posting_on,
                line.batch_id)
        RETURNING doc_no INTO line.erp_doc_no;
    END IF;
  END IF;
  line.status := 'POSTED';
  RETURN line;
END $$;

CREATE PROCEDURE erp_post(wanted text) LANGUAGE plpgsql AS $$
DECLARE
  batch isth_batch;
  sums record;
  line isth_line;
BEGIN
  SELECT * INTO batch FROM isth_batch WHERE iface = wanted AND status = 'CLAIMED' ORDER BY seq LIMIT 1;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  INSERT INTO erp_done VALUES (wanted, batch.seq) ON CONFLICT (iface) DO UPDATE SET seq = excluded.seq;
  SELECT count(*) AS n, max(line_no) AS highest, coalesce(sum(quantity), 0) AS hours,
         coalesce(sum(amount), 0) AS amount
    INTO sums FROM isth_line WHERE batch_id = batch.batch_id;
  batch.err_text := CASE
    WHEN sums.n <> batch.rec_count OR sums.highest <> batch.rec_count
      THEN 'REC_COUNT SAYS ' || batch.rec_count || ' THERE ARE ' || sums.n
    WHEN sums.amount <> batch.tot_amount THEN 'TOT_AMOUNT IS ' || sums.amount
    WHEN sums.hours <> batch.tot_hours THEN 'TOT_HOURS IS ' || sums.hours
    WHEN erp_hash(batch.batch_id) <> batch.hash_total THEN 'HASH_TOTAL IS ' || erp_hash(batch.batch_id)
  END;
  IF batch.err_text IS NOT NULL THEN
    UPDATE isth_batch SET status = 'ERROR', done_at = now(), err_code = 'TOTL', err_text = batch.err_text
      WHERE batch_id = batch.batch_id;
    RETURN;
  END IF;
  FOR line IN SELECT * FROM isth_line WHERE batch_id = batch.batch_id ORDER BY line_no LOOP
    line := erp_line(line);
    UPDATE isth_line SET status = line.status, err_code = line.err_code, err_text = line.err_text,
      erp_doc_no = line.erp_doc_no, posted_on = line.posted_on, posted_amount = line.posted_amount,
      processed_at = line.processed_at
      WHERE batch_id = line.batch_id AND line_no = line.line_no;
  END LOOP;
  UPDATE isth_batch SET status = 'POSTED', done_at = now() WHERE batch_id = batch.batch_id;
END $$;

CREATE PROCEDURE erp_run() LANGUAGE plpgsql AS $$
DECLARE
  wanted text;
BEGIN
  FOREACH wanted IN ARRAY ARRAY['customers', 'projects', 'charges'] LOOP
    FOR round IN 1..1000 LOOP
      CALL erp_claim(wanted);
      EXIT WHEN NOT EXISTS (SELECT 1 FROM isth_batch WHERE iface = wanted AND status = 'CLAIMED');
      CALL erp_post(wanted);
    END LOOP;
  END LOOP;
END $$;

GRANT SELECT, INSERT, UPDATE ON erp_number, erp_customer, erp_project, erp_journal, erp_done TO erp;
GRANT SELECT ON isth_batch, isth_line TO erp;
GRANT UPDATE (status, claimed_at, done_at, err_code, err_text) ON isth_batch TO erp;
GRANT UPDATE (status, err_code, err_text, erp_doc_no, posted_on, posted_amount, processed_at) ON isth_line TO erp;
GRANT SELECT, INSERT, UPDATE ON isth_out, isth_period TO erp;
