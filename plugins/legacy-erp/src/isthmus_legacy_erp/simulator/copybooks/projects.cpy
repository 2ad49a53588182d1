      * RECORD LENGTH 560
       01  BATCH-HEADER.
           05  REC-TYPE        PIC X(1)        VALUE 'H'.
           05  IFACE           PIC X(20).
           05  VERSION         PIC 9(2).
           05  COMPANY         PIC X(10).
           05  SEQ-NO          PIC 9(8).
           05  BATCH-ID        PIC X(40).
           05  CREATED         PIC 9(14).
           05  CURRENCY-CODE   PIC X(3).
       01  PROJECT-LINE.
           05  REC-TYPE        PIC X(1)        VALUE 'D'.
           05  LINE-NO         PIC 9(6).
           05  EXT-REF         PIC X(120).
           05  REVISION        PIC 9(18).
           05  PROJ-NAME       PIC X(60).
           05  CUSTOMER-NO     PIC X(20).
           05  CONTRACT-REF    PIC X(120).
           05  MANAGER         PIC X(60).
           05  STARTS-ON       PIC X(8).
           05  STAGE           PIC X(10).
           05  BILLING         PIC X(20).
           05  PROJ-CURRENCY   PIC X(3).
           05  BUDGET          PIC S9(15)V9(2).
       01  BATCH-TRAILER.
           05  REC-TYPE        PIC X(1)        VALUE 'T'.
           05  REC-COUNT       PIC 9(8).
           05  HASH-TOTAL      PIC 9(15).
