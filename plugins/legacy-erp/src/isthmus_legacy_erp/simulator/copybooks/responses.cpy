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
           05  ANSWERS         PIC X(40).
           05  BATCH-STATUS    PIC X(8).
       01  RESPONSE-LINE.
           05  REC-TYPE        PIC X(1)        VALUE 'D'.
           05  LINE-NO         PIC 9(6).
           05  EXT-REF         PIC X(120).
           05  LINE-STATUS     PIC X(8).
           05  ERP-NO          PIC X(20).
           05  ERR-CODE        PIC X(4).
           05  ERR-TEXT        PIC X(120).
           05  POSTED-ON       PIC X(8).
           05  AMOUNT          PIC S9(15)V9(2).
       01  BATCH-TRAILER.
           05  REC-TYPE        PIC X(1)        VALUE 'T'.
           05  REC-COUNT       PIC 9(8).
           05  TOT-AMOUNT      PIC S9(15)V9(2).
           05  HASH-TOTAL      PIC 9(15).
