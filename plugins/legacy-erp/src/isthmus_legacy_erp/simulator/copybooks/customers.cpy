      * RECORD LENGTH 440
       01  BATCH-HEADER.
           05  REC-TYPE        PIC X(1)        VALUE 'H'.
           05  IFACE           PIC X(20).
           05  VERSION         PIC 9(2).
           05  COMPANY         PIC X(10).
           05  SEQ-NO          PIC 9(8).
           05  BATCH-ID        PIC X(40).
           05  CREATED         PIC 9(14).
           05  CURRENCY-CODE   PIC X(3).
       01  CUSTOMER-LINE.
           05  REC-TYPE        PIC X(1)        VALUE 'D'.
           05  LINE-NO         PIC 9(6).
           05  EXT-REF         PIC X(120).
           05  REVISION        PIC 9(18).
           05  CUST-NAME       PIC X(60).
           05  CUST-CURRENCY   PIC X(3).
           05  TAX-ID          PIC X(20).
           05  CUST-ADDRESS    PIC X(120).
           05  CUST-STATUS     PIC X(8).
       01  BATCH-TRAILER.
           05  REC-TYPE        PIC X(1)        VALUE 'T'.
           05  REC-COUNT       PIC 9(8).
           05  HASH-TOTAL      PIC 9(15).
