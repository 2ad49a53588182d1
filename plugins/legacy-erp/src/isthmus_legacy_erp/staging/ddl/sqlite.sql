-- The staging tables of isthmus, for SQLite.
--
-- isthmus writes isth_batch and isth_line, one batch in one transaction, and never changes a line again.
-- The ERP's posting job moves a batch from READY to CLAIMED to POSTED or ERROR and fills the columns below
-- its comment. The ERP writes isth_out and isth_period (a view of its own period table will do).

CREATE TABLE isth_batch (
  batch_id       varchar(40)   NOT NULL PRIMARY KEY,
  iface          varchar(20)   NOT NULL CHECK (iface IN ('customers', 'projects', 'charges')),
  company        varchar(10)   NOT NULL,
  seq            integer       NOT NULL CHECK (seq > 0),
  sha256         char(64)      NOT NULL,
  currency       char(3)       NOT NULL,
  rec_count      integer       NOT NULL,
  tot_hours      text          NOT NULL,
  tot_amount     text          NOT NULL,
  hash_total     bigint        NOT NULL,
  status         varchar(8)    NOT NULL
                 CHECK (status IN ('LOADING', 'READY', 'CLAIMED', 'POSTED', 'ERROR')),
  created_at     text          NOT NULL,
  -- the ERP's columns
  claimed_at     text,
  done_at        text,
  err_code       varchar(4),
  err_text       varchar(120),
  -- isthmus: when the answer was recorded
  answer_read_at text,
  UNIQUE (iface, company, seq)
);

CREATE TABLE isth_line (
  batch_id      varchar(40)   NOT NULL REFERENCES isth_batch,
  iface         varchar(20)   NOT NULL,
  company       varchar(10)   NOT NULL,
  line_no       integer       NOT NULL CHECK (line_no > 0),
  ext_ref       varchar(120)  NOT NULL,
  revision      bigint        NOT NULL,
  try_no        integer       NOT NULL,
  name          varchar(60),
  tax_id        varchar(20),
  address       varchar(120),
  record_status varchar(8),
  customer_no   varchar(20),
  contract_ref  varchar(120),
  manager       varchar(60),
  starts_on     date,
  stage         varchar(10),
  billing       varchar(20),
  budget        text,
  reverses_ref  varchar(120),
  project_no    varchar(20),
  contract_line varchar(60),
  origin        varchar(16),
  service       varchar(40),
  quantity      text,
  unit_price    text,
  amount        text,
  currency      char(3),
  earned_on     date,
  posting_on    date,
  dimensions    varchar(160),
  line_text     varchar(60),
  -- the ERP's columns; status is NEW until it says POSTED or REJECTED
  status        varchar(8)    NOT NULL CHECK (status IN ('NEW', 'POSTED', 'REJECTED')),
  err_code      varchar(4),
  err_text      varchar(120),
  erp_doc_no    varchar(20),
  posted_on     date,
  posted_amount text,
  processed_at  text,
  PRIMARY KEY (batch_id, line_no),
  -- A reference is staged once. A customer or project comes again with a higher revision, and a line the
  -- ERP refused with the next try.
  UNIQUE (iface, company, ext_ref, revision, try_no)
);

CREATE INDEX isth_line_posted ON isth_line (company, posting_on) WHERE iface = 'charges';
CREATE INDEX isth_batch_unread ON isth_batch (iface, company, seq) WHERE answer_read_at IS NULL;
CREATE INDEX isth_batch_waiting ON isth_batch (iface, company, seq) WHERE status IN ('READY', 'CLAIMED');

-- kind: invoice (line_count says how many charge rows it has), charge (of invoice_no), payment, void.
-- Rows of one invoice belong into one transaction.
CREATE TABLE isth_out (
  id          integer       PRIMARY KEY AUTOINCREMENT,
  company     varchar(10)   NOT NULL,
  kind        varchar(8)    NOT NULL CHECK (kind IN ('invoice', 'charge', 'payment', 'void')),
  ref         varchar(20)   NOT NULL,
  invoice_no  varchar(20),
  customer_no varchar(20),
  project_no  varchar(20),
  charge_ref  varchar(120),
  line_count  integer,
  issued_on   date,
  due_on      date,
  amount      text          NOT NULL,
  open_amount text,
  currency    char(3)       NOT NULL,
  reason      varchar(60),
  created_at  text          NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now'))
);
CREATE UNIQUE INDEX isth_out_ref ON isth_out (company, kind, ref) WHERE kind <> 'charge';
CREATE INDEX isth_out_charges ON isth_out (invoice_no) WHERE kind = 'charge';

-- change_no counts up with every closing and reopening; 0 while a period was never closed.
CREATE TABLE isth_period (
  company    varchar(10) NOT NULL,
  period     varchar(7)  NOT NULL,
  ledger     varchar(3)  NOT NULL CHECK (ledger IN ('ar', 'ap', 'all')),
  starts_on  date        NOT NULL,
  ends_on    date        NOT NULL,
  status     varchar(6)  NOT NULL CHECK (status IN ('OPEN', 'CLOSED')),
  change_no  integer     NOT NULL,
  changed_at text        NOT NULL,
  PRIMARY KEY (company, period, ledger)
);
