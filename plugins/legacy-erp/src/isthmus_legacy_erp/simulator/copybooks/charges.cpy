      * RECORD LENGTH 720
       01  BATCH-HEADER.
           05  REC-TYPE        PIC X(1)        VALUE 'H'.
           05  IFACE           PIC X(20).
           05  VERSION         PIC 9(2).
           05  COMPANY         PIC X(10).
           05  SEQ-NO          PIC 9(8).
           05  BATCH-ID        PIC X(40).
           05  CREATED         PIC 9(14).
           05  CURRENCY-CODE   PIC X(3).
       01  CHARGE-LINE.
           05  REC-TYPE        PIC X(1)        VALUE 'D'.
           05  LINE-NO         PIC 9(6).
           05  EXT-REF         PIC X(120).
           05  REVERSES-REF    PIC X(120).
           05  PROJECT-NO      PIC X(20).
           05  CONTRACT-LINE   PIC X(60).
           05  ORIGIN          PIC X(16).
           05  SERVICE         PIC X(40).
           05  QUANTITY        PIC S9(9)V9(6).
           05  UNIT-PRICE      PIC S9(9)V9(6).
           05  AMOUNT          PIC S9(15)V9(2).
           05  CHG-CURRENCY    PIC X(3).
           05  EARNED-ON       PIC 9(8).
           05  POSTING-ON      PIC 9(8).
           05  DIMENSIONS      PIC X(160).
           05  LINE-TEXT       PIC X(60).
       01  BATCH-TRAILER.
           05  REC-TYPE        PIC X(1)        VALUE 'T'.
           05  REC-COUNT       PIC 9(8).
           05  TOT-QUANTITY    PIC S9(12)V9(6).
           05  TOT-AMOUNT      PIC S9(15)V9(2).
           05  HASH-TOTAL      PIC 9(15).
