      *****************************************************************
      * POSTBAT: posts one batch of charges, as an ERP of the eighties
      * does. It knows the batch by its copybook only, checks it whole
      * before it posts a line, and answers line by line.
      *
      *   BATCHIN   the batch, fixed records of 720 bytes
      *   RESPOUT   the response, fixed records of 440 bytes
      *   JOURNAL   what was posted, one line each, added to
      *   NAKOUT    why a batch was refused whole
      *
      * Return code 0: posted, all or part. 8: refused, nothing posted.
      *****************************************************************
       IDENTIFICATION DIVISION.
       PROGRAM-ID. POSTBAT.

       ENVIRONMENT DIVISION.
       INPUT-OUTPUT SECTION.
       FILE-CONTROL.
           SELECT BATCH-FILE ASSIGN TO "BATCHIN"
               ORGANIZATION IS SEQUENTIAL FILE STATUS IS BATCH-FS.
           SELECT RESP-FILE ASSIGN TO "RESPOUT"
               ORGANIZATION IS SEQUENTIAL FILE STATUS IS RESP-FS.
           SELECT JOURNAL-FILE ASSIGN TO "JOURNAL"
               ORGANIZATION IS LINE SEQUENTIAL
               FILE STATUS IS JOURNAL-FS.
           SELECT NAK-FILE ASSIGN TO "NAKOUT"
               ORGANIZATION IS LINE SEQUENTIAL FILE STATUS IS NAK-FS.

       DATA DIVISION.
       FILE SECTION.
       FD  BATCH-FILE.
       01  BATCH-RECORD             PIC X(720).
       FD  RESP-FILE.
       01  RESP-RECORD              PIC X(440).
       FD  JOURNAL-FILE.
       01  JOURNAL-RECORD           PIC X(200).
       FD  NAK-FILE.
       01  NAK-RECORD               PIC X(80).

       WORKING-STORAGE SECTION.
       COPY "charges.cpy".
       COPY "responses.cpy"
           REPLACING BATCH-HEADER  BY RESP-HEADER
                     BATCH-TRAILER BY RESP-TRAILER.

       01  FILE-STATES.
           05  BATCH-FS             PIC XX.
           05  RESP-FS              PIC XX.
           05  JOURNAL-FS           PIC XX.
           05  NAK-FS               PIC XX.
       01  SUMS.
           05  LINES-FOUND          PIC 9(8)         VALUE 0.
           05  SUM-QUANTITY         PIC S9(12)V9(6)  VALUE 0.
           05  SUM-AMOUNT           PIC S9(15)V9(2)  VALUE 0.
           05  SUM-HASH             PIC 9(18)        VALUE 0.
           05  RESP-AMOUNT          PIC S9(15)V9(2)  VALUE 0.
           05  RESP-HASH            PIC 9(18)        VALUE 0.
           05  LINE-HASH            PIC 9(18)        VALUE 0.
       01  WORK-AREA.
           05  STATE-OF-BATCH       PIC X            VALUE 'H'.
           05  WHY-REFUSED          PIC X(80)        VALUE SPACES.
           05  PLACE                PIC 9(4).
           05  DOC-NO               PIC 9(7).
           05  POSTED-COUNT         PIC 9(8)         VALUE 0.
           05  REFUSED-COUNT        PIC 9(8)         VALUE 0.
           05  FOUND-N              PIC Z(7)9.
           05  SAID-N               PIC Z(7)9.
           05  FOUND-A              PIC -(15)9.99.
           05  SAID-A               PIC -(15)9.99.
           05  TODAY                PIC X(8).
           05  STAMP                PIC X(14).
       01  HASH-LIMIT               PIC 9(18)
                                    VALUE 1000000000000000.

       PROCEDURE DIVISION.
       MAIN-LINE.
           MOVE FUNCTION CURRENT-DATE(1:14) TO STAMP
           PERFORM CHECK-BATCH
           IF WHY-REFUSED NOT = SPACES
               PERFORM REFUSE-BATCH
               MOVE 8 TO RETURN-CODE
           ELSE
               PERFORM POST-BATCH
               MOVE 0 TO RETURN-CODE
           END-IF
           STOP RUN.

      * First pass: header, details, trailer, and all control totals.
       CHECK-BATCH.
           OPEN INPUT BATCH-FILE
           IF BATCH-FS NOT = "00"
               STRING "CANNOT OPEN BATCH " BATCH-FS
                   DELIMITED BY SIZE INTO WHY-REFUSED
           ELSE
               PERFORM UNTIL BATCH-FS NOT = "00"
                   READ BATCH-FILE
                   IF BATCH-FS = "00" AND WHY-REFUSED = SPACES
                       PERFORM CHECK-RECORD
                   END-IF
               END-PERFORM
               IF BATCH-FS NOT = "10" AND WHY-REFUSED = SPACES
                   STRING "SHORT LAST RECORD " BATCH-FS
                       DELIMITED BY SIZE INTO WHY-REFUSED
               END-IF
               IF STATE-OF-BATCH NOT = 'E' AND WHY-REFUSED = SPACES
                   MOVE "NO TRAILER" TO WHY-REFUSED
               END-IF
               CLOSE BATCH-FILE
           END-IF.

       CHECK-RECORD.
           EVALUATE BATCH-RECORD(1:1) ALSO STATE-OF-BATCH
               WHEN 'H' ALSO 'H'
                   MOVE BATCH-RECORD TO BATCH-HEADER
                   MOVE 'D' TO STATE-OF-BATCH
               WHEN 'D' ALSO 'D'
                   MOVE BATCH-RECORD TO CHARGE-LINE
                   PERFORM ADD-LINE
               WHEN 'T' ALSO 'D'
                   MOVE BATCH-RECORD TO BATCH-TRAILER
                   MOVE 'E' TO STATE-OF-BATCH
                   PERFORM CHECK-TOTALS
               WHEN OTHER
                   MOVE "RECORDS ARE NOT H D.. T" TO WHY-REFUSED
           END-EVALUATE.

       ADD-LINE.
           ADD 1 TO LINES-FOUND
           IF LINE-NO OF CHARGE-LINE NOT = LINES-FOUND
               MOVE LINES-FOUND TO FOUND-N
               MOVE LINE-NO OF CHARGE-LINE TO SAID-N
               STRING "LINE " SAID-N " WHERE " FOUND-N " IS DUE"
                   DELIMITED BY SIZE INTO WHY-REFUSED
           END-IF
           ADD QUANTITY TO SUM-QUANTITY
           ADD AMOUNT OF CHARGE-LINE TO SUM-AMOUNT
           PERFORM HASH-REFERENCE
           ADD LINE-HASH TO SUM-HASH.

      * Each byte of the reference times its place, from 1.
       HASH-REFERENCE.
           MOVE 0 TO LINE-HASH
           PERFORM VARYING PLACE FROM 1 BY 1
                   UNTIL PLACE > FUNCTION LENGTH(
                         FUNCTION TRIM(EXT-REF OF CHARGE-LINE TRAILING))
               COMPUTE LINE-HASH = LINE-HASH + PLACE *
                   (FUNCTION ORD(EXT-REF OF CHARGE-LINE(PLACE:1)) - 1)
           END-PERFORM.

       CHECK-TOTALS.
           IF REC-COUNT OF BATCH-TRAILER NOT = LINES-FOUND
               MOVE LINES-FOUND TO FOUND-N
               MOVE REC-COUNT OF BATCH-TRAILER TO SAID-N
               STRING "COUNT IS " FOUND-N " TRAILER SAYS " SAID-N
                   DELIMITED BY SIZE INTO WHY-REFUSED
           END-IF
           IF TOT-AMOUNT OF BATCH-TRAILER NOT = SUM-AMOUNT
                   AND WHY-REFUSED = SPACES
               MOVE SUM-AMOUNT TO FOUND-A
               MOVE TOT-AMOUNT OF BATCH-TRAILER TO SAID-A
               STRING "AMOUNT IS " FOUND-A " TRAILER SAYS " SAID-A
                   DELIMITED BY SIZE INTO WHY-REFUSED
           END-IF
           IF TOT-QUANTITY NOT = SUM-QUANTITY
                   AND WHY-REFUSED = SPACES
               MOVE "HOURS DO NOT MAKE THEIR TOTAL" TO WHY-REFUSED
           END-IF
           IF HASH-TOTAL OF BATCH-TRAILER
                   NOT = FUNCTION MOD(SUM-HASH, HASH-LIMIT)
                   AND WHY-REFUSED = SPACES
               MOVE "REFERENCES DO NOT MAKE THEIR HASH TOTAL"
                   TO WHY-REFUSED
           END-IF.

       REFUSE-BATCH.
           OPEN OUTPUT NAK-FILE
           MOVE WHY-REFUSED TO NAK-RECORD
           WRITE NAK-RECORD
           CLOSE NAK-FILE.

      * Second pass: post, and answer each line.
       POST-BATCH.
           OPEN INPUT BATCH-FILE
           OPEN OUTPUT RESP-FILE
           OPEN EXTEND JOURNAL-FILE
           IF JOURNAL-FS = "35" OR JOURNAL-FS = "05"
               OPEN OUTPUT JOURNAL-FILE
           END-IF
           PERFORM WRITE-HEADER
           PERFORM UNTIL BATCH-FS NOT = "00"
               READ BATCH-FILE
               IF BATCH-FS = "00" AND BATCH-RECORD(1:1) = 'D'
                   MOVE BATCH-RECORD TO CHARGE-LINE
                   PERFORM POST-LINE
               END-IF
           END-PERFORM
           PERFORM WRITE-TRAILER
           CLOSE BATCH-FILE RESP-FILE JOURNAL-FILE.

       WRITE-HEADER.
           MOVE SPACES TO RESP-HEADER
           MOVE 'H' TO REC-TYPE OF RESP-HEADER
           MOVE "charges-response" TO IFACE OF RESP-HEADER
           MOVE VERSION OF BATCH-HEADER TO VERSION OF RESP-HEADER
           MOVE COMPANY OF BATCH-HEADER TO COMPANY OF RESP-HEADER
           MOVE SEQ-NO OF BATCH-HEADER TO SEQ-NO OF RESP-HEADER
           STRING "POSTBAT-" SEQ-NO OF BATCH-HEADER
               DELIMITED BY SIZE INTO BATCH-ID OF RESP-HEADER
           MOVE STAMP TO CREATED OF RESP-HEADER
           MOVE CURRENCY-CODE OF BATCH-HEADER
               TO CURRENCY-CODE OF RESP-HEADER
           MOVE BATCH-ID OF BATCH-HEADER TO ANSWERS
           MOVE "POSTED" TO BATCH-STATUS
           MOVE RESP-HEADER TO RESP-RECORD
           WRITE RESP-RECORD.

       POST-LINE.
           MOVE SPACES TO RESPONSE-LINE
           MOVE 'D' TO REC-TYPE OF RESPONSE-LINE
           MOVE LINE-NO OF CHARGE-LINE TO LINE-NO OF RESPONSE-LINE
           MOVE EXT-REF OF CHARGE-LINE TO EXT-REF OF RESPONSE-LINE
           MOVE AMOUNT OF CHARGE-LINE TO AMOUNT OF RESPONSE-LINE
           IF PROJECT-NO NOT = "P00001"
               ADD 1 TO REFUSED-COUNT
               MOVE "REJECTED" TO LINE-STATUS
               MOVE "PROJ" TO ERR-CODE
               STRING "PROJECT " DELIMITED BY SIZE
                   PROJECT-NO DELIMITED BY SPACE
                   " UNKNOWN" DELIMITED BY SIZE INTO ERR-TEXT
           ELSE
               ADD 1 TO POSTED-COUNT
               COMPUTE DOC-NO = SEQ-NO OF BATCH-HEADER * 1000
                   + LINE-NO OF CHARGE-LINE
               MOVE "POSTED" TO LINE-STATUS
               STRING "D" DOC-NO DELIMITED BY SIZE INTO ERP-NO
               MOVE STAMP(1:8) TO POSTED-ON
               PERFORM WRITE-JOURNAL
           END-IF
           ADD AMOUNT OF RESPONSE-LINE TO RESP-AMOUNT
           PERFORM HASH-REFERENCE
           ADD LINE-HASH TO RESP-HASH
           MOVE RESPONSE-LINE TO RESP-RECORD
           WRITE RESP-RECORD.

       WRITE-JOURNAL.
           MOVE SPACES TO JOURNAL-RECORD
           MOVE AMOUNT OF CHARGE-LINE TO FOUND-A
           STRING "D" DOC-NO " " FOUND-A " "
               EXT-REF OF CHARGE-LINE
               DELIMITED BY SIZE INTO JOURNAL-RECORD
           WRITE JOURNAL-RECORD.

       WRITE-TRAILER.
           MOVE SPACES TO RESP-RECORD
           MOVE 'T' TO REC-TYPE OF RESP-TRAILER
           ADD POSTED-COUNT REFUSED-COUNT
               GIVING REC-COUNT OF RESP-TRAILER
           MOVE RESP-AMOUNT TO TOT-AMOUNT OF RESP-TRAILER
           COMPUTE HASH-TOTAL OF RESP-TRAILER =
               FUNCTION MOD(RESP-HASH, HASH-LIMIT)
           MOVE RESP-TRAILER TO RESP-RECORD
           WRITE RESP-RECORD.
