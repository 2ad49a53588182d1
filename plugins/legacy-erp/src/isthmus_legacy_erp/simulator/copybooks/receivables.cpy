      * RECORD LENGTH 320
       01  BATCH-HEADER.
           05  REC-TYPE        PIC X(1)        VALUE 'H'.
           05  IFACE           PIC X(20).
           05  VERSION         PIC 9(2).
           05  COMPANY         PIC X(10).
           05  SEQ-NO          PIC 9(8).
           05  BATCH-ID        PIC X(40).
           05  CREATED         PIC 9(14).
           05  CURRENCY-CODE   PIC X(3).
       01  INVOICE.
           05  REC-TYPE        PIC X(1)        VALUE 'I'.
           05  LINE-NO         PIC 9(6).
           05  EXT-REF         PIC X(20).
           05  CUSTOMER-NO     PIC X(20).
           05  PROJECT-NO      PIC X(20).
           05  ISSUED-ON       PIC 9(8).
           05  DUE-ON          PIC 9(8).
           05  AMOUNT          PIC S9(15)V9(2).
           05  INV-CURRENCY    PIC X(3).
       01  INVOICE-CHARGE.
           05  REC-TYPE        PIC X(1)        VALUE 'L'.
           05  LINE-NO         PIC 9(6).
           05  EXT-REF         PIC X(20).
           05  INVOICE-NO      PIC X(20).
           05  CHARGE-REF      PIC X(120).
           05  AMOUNT          PIC S9(15)V9(2).
       01  PAYMENT.
           05  REC-TYPE        PIC X(1)        VALUE 'P'.
           05  LINE-NO         PIC 9(6).
           05  EXT-REF         PIC X(20).
           05  INVOICE-NO      PIC X(20).
           05  PROJECT-NO      PIC X(20).
           05  RECEIVED-ON     PIC 9(8).
           05  AMOUNT          PIC S9(15)V9(2).
           05  OPEN-AMOUNT     PIC S9(15)V9(2).
           05  PAY-CURRENCY    PIC X(3).
       01  INVOICE-VOID.
           05  REC-TYPE        PIC X(1)        VALUE 'V'.
           05  LINE-NO         PIC 9(6).
           05  EXT-REF         PIC X(20).
           05  PROJECT-NO      PIC X(20).
           05  VOIDED-ON       PIC 9(8).
           05  AMOUNT          PIC S9(15)V9(2).
           05  VOID-CURRENCY   PIC X(3).
           05  REASON          PIC X(60).
       01  BATCH-TRAILER.
           05  REC-TYPE        PIC X(1)        VALUE 'T'.
           05  REC-COUNT       PIC 9(8).
           05  TOT-AMOUNT      PIC S9(15)V9(2).
           05  HASH-TOTAL      PIC 9(15).
