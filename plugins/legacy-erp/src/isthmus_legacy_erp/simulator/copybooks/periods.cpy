      * RECORD LENGTH 128
       01  BATCH-HEADER.
           05  REC-TYPE        PIC X(1)        VALUE 'H'.
           05  IFACE           PIC X(20).
           05  VERSION         PIC 9(2).
           05  COMPANY         PIC X(10).
           05  SEQ-NO          PIC 9(8).
           05  BATCH-ID        PIC X(40).
           05  CREATED         PIC 9(14).
           05  CURRENCY-CODE   PIC X(3).
       01  PERIOD-CLOSED.
           05  REC-TYPE        PIC X(1)        VALUE 'C'.
           05  LINE-NO         PIC 9(6).
           05  EXT-REF         PIC X(7).
           05  STARTS-ON       PIC 9(8).
           05  ENDS-ON         PIC 9(8).
           05  LEDGER          PIC X(3).
           05  CHANGE-NO       PIC 9(8).
       01  PERIOD-REOPENED.
           05  REC-TYPE        PIC X(1)        VALUE 'R'.
           05  LINE-NO         PIC 9(6).
           05  EXT-REF         PIC X(7).
           05  STARTS-ON       PIC 9(8).
           05  ENDS-ON         PIC 9(8).
           05  LEDGER          PIC X(3).
           05  CHANGE-NO       PIC 9(8).
       01  BATCH-TRAILER.
           05  REC-TYPE        PIC X(1)        VALUE 'T'.
           05  REC-COUNT       PIC 9(8).
           05  HASH-TOTAL      PIC 9(15).
