"""What an owner is told and when: grouped, nothing twice, nothing lost, in their waking hours."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal as D
from zoneinfo import ZoneInfo

import msgspec
import pytest

from isthmus.ops.notices import deciding
from isthmus.ops.notices.deciding import (
    GROUPS,
    RETRY_S,
    SUBJECTS,
    Book,
    Item,
    Rules,
    decide,
    delivered,
    failed,
    gone,
    is_quiet,
)
from isthmus.ops.notices.words import body, heading, text

START = datetime(2026, 10, 30, 12, tzinfo=UTC)
EVERY = timedelta(minutes=15)
RULES = Rules(every=EVERY, zone=UTC)
LOOK = timedelta(seconds=30)


def item(number: int, **changes: object) -> Item:
    fields = {"key": number, "error_class": "period", "where": "erp-charges", "subject": f"psa:{number}"}
    return msgspec.convert({**fields, "amount": "10.50", "currency": "EUR", **changes}, Item)


class Hour:
    """One channel in virtual time: looks every 30 seconds and keeps what reached the owner."""

    def __init__(self, rules: Rules = RULES, *, takes: Callable[[datetime], bool] = lambda now: True) -> None:
        self.book = Book()
        self.now = START
        self.said: list[tuple[timedelta, str, int, int]] = []
        """When, kind, new or named items, open items."""
        self.tried: list[str] = []
        """The id of each try."""
        self.rules = rules
        self.takes = takes

    def look(self, items: Sequence[Item]) -> None:
        self.book = decide(self.book, items, self.rules, self.now, owner="ar", seed="webhook ar")
        self.book = msgspec.json.decode(msgspec.json.encode(self.book), type=Book)  # as after a restart
        notice, due_at = self.book.notice, self.book.due_at
        if notice is None or due_at is None or self.now < due_at or is_quiet(self.rules, self.now):
            return
        self.tried.append(notice.id)
        if self.takes(self.now):
            self.said.append((self.now - START, notice.kind, notice.count, notice.open))
            self.book = delivered(self.book, self.now)
        else:
            self.book = failed(self.book, self.now, jitter=lambda: 0.0)

    def passes(self, how_long: timedelta, items: Callable[[datetime], Sequence[Item]]) -> "Hour":
        until = self.now + how_long
        while self.now < until:
            self.look(items(self.now))
            self.now += LOOK
        return self


def always(items: Iterable[Item]) -> Callable[[datetime], Sequence[Item]]:
    fixed = list(items)
    return lambda now: fixed


def growing(now: datetime) -> Sequence[Item]:
    """A hundred more each minute, up to a thousand."""
    return [item(n) for n in range(min(1000, 100 * int((now - START) / timedelta(minutes=1))))]


HOURS = timedelta(hours=1)

STORIES = [
    pytest.param(always([]), timedelta(days=3), [], id="nothing open, nothing said"),
    pytest.param(
        always(item(n) for n in range(1000)),
        HOURS,
        [(EVERY, "news", 1000, 1000)],
        id="a thousand exceptions are one message",
    ),
    pytest.param(
        growing, HOURS, [(timedelta(minutes=16), "news", 1000, 1000)], id="so are a thousand over ten minutes"
    ),
    pytest.param(
        lambda now: [item(n) for n in range(1 + int((now - START) / timedelta(minutes=1)))],
        timedelta(hours=1),
        [
            (timedelta(minutes=15), "news", 16, 16),
            (timedelta(minutes=31), "news", 16, 32),
            (timedelta(minutes=47), "news", 16, 48),
        ],
        id="one a minute is a message each quarter of an hour, each item told once",
    ),
    pytest.param(
        lambda now: [item(1)] if now < START + timedelta(minutes=5) else [],
        HOURS,
        [],
        id="what is over before it was told is not told",
    ),
    pytest.param(
        lambda now: [item(1)] if now < START + timedelta(hours=2) else [],
        timedelta(days=2),
        [(EVERY, "news", 1, 1), (timedelta(hours=2), "resolved", 0, 0)],
        id="when all is over that is said, once",
    ),
    pytest.param(
        lambda now: [item(1, waits=now < START + HOURS)],
        timedelta(hours=5),
        [(EVERY, "news", 1, 1)],
        id="what is being tried again is not over yet",
    ),
    pytest.param(
        lambda now: [item(1, waits=not START + HOURS < now < START + 2 * HOURS)],
        timedelta(hours=5),
        [(EVERY, "news", 1, 1), (timedelta(hours=2, minutes=15), "news", 1, 1)],
        id="a retry that failed is news",
    ),
    pytest.param(
        always([item(1), item(2)]),
        timedelta(days=2, hours=1),
        [
            (EVERY, "news", 2, 2),
            (timedelta(days=1, minutes=15), "reminder", 2, 2),
            (timedelta(days=2, minutes=15), "reminder", 2, 2),
        ],
        id="a reminder a day while something stays open",
    ),
    pytest.param(
        lambda now: [item(int((now - START) / timedelta(minutes=2)))],
        timedelta(minutes=50),
        [(timedelta(minutes=n), "news", 1, 1) for n in (15, 31, 47)],
        id="a stream of troubles that come and go is told, a message each quarter of an hour",
    ),
]


@pytest.mark.parametrize(("items", "how_long", "said"), STORIES)
def test_what_an_owner_is_told(
    items: Callable[[datetime], Sequence[Item]],
    how_long: timedelta,
    said: list[tuple[timedelta, str, int, int]],
) -> None:
    assert Hour().passes(how_long, items).said == said


def test_mutant_a_message_per_look_is_noticed() -> None:
    impatient = msgspec.structs.replace(RULES, every=timedelta(0))
    assert len(Hour(impatient).passes(HOURS, growing).said) > 2


def test_mutant_what_is_made_counts_as_told_loses_news() -> None:
    """The right one tells after the outage what a given-up message told; this one never does."""
    hour = Hour(takes=lambda now: now > START + timedelta(days=5))
    hour.passes(timedelta(days=7), always([item(1)]))
    assert next(kind for _, kind, _, _ in hour.said) == "news"
    wrong = Hour(takes=lambda now: now > START + timedelta(days=5))
    for _ in range(int(timedelta(days=4) / LOOK)):
        wrong.look([item(1)])
        wrong.book = msgspec.structs.replace(wrong.book, told=wrong.book.told | wrong.book.tells)
        wrong.now += LOOK
    wrong.passes(timedelta(days=3), always([item(1)]))
    assert "news" not in [kind for _, kind, _, _ in wrong.said]


# A peer that does not answer


def test_a_message_that_is_sent_again_keeps_its_id_and_what_comes_meanwhile_is_in_one_more() -> None:
    hour = Hour(takes=lambda now: now > START + 2 * HOURS)
    hour.passes(timedelta(hours=4), lambda now: [item(n) for n in range(1 + int((now - START) / HOURS))])
    assert (len(hour.tried), len(set(hour.tried))) == (6, 2)
    assert [(kind, count) for _, kind, count, _ in hour.said] == [("news", 1), ("news", 3)]


def test_the_waits_grow_and_after_three_days_a_new_message_is_made_of_the_same_items() -> None:
    hour = Hour(takes=lambda now: False)
    hour.passes(timedelta(seconds=sum(RETRY_S)) + timedelta(hours=2), always([item(1)]))
    ids = list(dict.fromkeys(hour.tried))
    assert [hour.tried.count(each) for each in ids] == [len(RETRY_S) + 1, 4]
    assert hour.said == []
    assert timedelta(days=3) < timedelta(seconds=sum(RETRY_S)) < timedelta(days=4)


@pytest.mark.parametrize(
    ("retry_after_s", "jitter", "wait_s"),
    [
        pytest.param(None, 0.0, 5, id="the first wait is short"),
        pytest.param(None, 0.5, 5.5, id="it is drawn, so that many do not come back together"),
        pytest.param(60.0, 0.0, 60, id="the peer's own word"),
        pytest.param(1.0, 0.0, 5, id="which makes no wait shorter"),
    ],
)
def test_a_failure_is_waited_out(retry_after_s: float | None, jitter: float, wait_s: float) -> None:
    book = decide(Book(since=START - EVERY), [item(1)], RULES, START, owner="ar", seed="")
    after = failed(book, START, retry_after_s=retry_after_s, jitter=lambda: jitter)
    assert after.due_at == START + timedelta(seconds=wait_s)
    assert after.notice == book.notice is not None


def test_a_peer_that_wants_no_more_has_nothing_in_hand_and_its_items_stay_untold() -> None:
    book = decide(Book(since=START - EVERY), [item(1)], RULES, START, owner="ar", seed="")
    after = gone(book, "there")
    assert (after.gone, after.notice, after.told) == ("there", None, frozenset())


def test_no_two_messages_have_the_same_id() -> None:
    hour = Hour().passes(timedelta(days=2), lambda now: [item(int((now - START) / HOURS))])
    assert len(hour.tried) == len(set(hour.tried)) > 20
    other = decide(Book(since=START - EVERY), [item(1)], RULES, START, owner="ar", seed="email ar")
    mine = decide(Book(since=START - EVERY), [item(1)], RULES, START, owner="ar", seed="webhook ar")
    assert other.notice is not None and mine.notice is not None and other.notice.id != mine.notice.id


# Quiet hours

NIGHT = Rules(every=EVERY, zone=ZoneInfo("Europe/Berlin"), quiet=(time(22), time(7)))


@pytest.mark.parametrize(
    ("at", "quiet"),
    [
        pytest.param("2026-10-30T20:59+00:00", False, id="a minute before, in Berlin"),
        pytest.param("2026-10-30T21:00+00:00", True, id="from ten at night in winter"),
        pytest.param("2026-10-24T20:00+00:00", True, id="which in summer is earlier in UTC"),
        pytest.param("2026-10-31T00:00+00:00", True, id="over midnight"),
        pytest.param("2026-10-31T05:59+00:00", True, id="a minute before seven"),
        pytest.param("2026-10-31T06:00+00:00", False, id="until seven"),
    ],
)
def test_quiet_hours_are_on_the_owners_clock(at: str, quiet: bool) -> None:
    assert is_quiet(NIGHT, datetime.fromisoformat(at)) is quiet


def test_hours_that_do_not_go_over_midnight() -> None:
    lunch = Rules(every=EVERY, zone=UTC, quiet=(time(12), time(13)))
    assert [is_quiet(lunch, START + timedelta(minutes=n)) for n in (-1, 0, 59, 60)] == [
        False,
        True,
        True,
        False,
    ]


def test_what_comes_at_night_is_one_message_in_the_morning() -> None:
    night = datetime(2026, 10, 30, 21, tzinfo=UTC)
    hour = Hour(NIGHT)
    hour.passes(timedelta(hours=24), lambda now: [item(n) for n in range((now - night) // HOURS + 1)][:9])
    assert hour.said == [(timedelta(hours=18), "news", 9, 9)]


def test_a_failed_message_is_not_tried_again_at_night() -> None:
    hour = Hour(NIGHT, takes=lambda now: False)
    hour.now = START + timedelta(hours=8)
    tries: list[datetime] = []
    hour.takes = lambda now: tries.append(now) or False  # type: ignore[func-returns-value]
    hour.passes(timedelta(hours=15), always([item(1)]))
    assert tries
    assert not [at for at in tries if is_quiet(NIGHT, at)]


# What it says


def the_notice(*items: Item) -> deciding.Notice:
    book = decide(Book(since=START - EVERY), items, RULES, START, owner="ar", seed="")
    assert book.notice is not None
    return book.notice


MIXED = (
    item(1),
    item(2),
    item(3, error_class="missing", where="psa", amount=None, currency=""),
    item(4, currency="USD"),
    item(5),
    msgspec.structs.replace(item(6), key="parked netsuite-us", error_class="parked", where="netsuite-us"),
)


def test_a_message_groups_by_class_and_place_with_counts_sums_and_a_few_subjects() -> None:
    first, *rest = the_notice(*MIXED).groups
    assert (first.where, first.error_class, first.count) == ("erp-charges", "period", 4)
    assert first.stakes == {"EUR": D("31.50"), "USD": D("10.50")}
    assert len(first.subjects) == SUBJECTS
    assert [(group.where, group.count) for group in rest] == [("netsuite-us", 1), ("psa", 1)]


def test_people_read_this() -> None:
    told = text(the_notice(*MIXED[:4]))
    assert told.splitlines()[:-1] == [
        "isthmus: 4 new for ar, 4 open",
        "",
        "What is new:",
        "  3 x period in erp-charges, at stake 21.00 EUR, 10.50 USD",
        "      psa:1, psa:2, psa:4",
        "  1 x missing in psa",
        "      psa:3",
        "",
        "In all 4 wait, at stake 21.00 EUR, 10.50 USD.",
        "",
        "To see them: isthmus exception list",
        "",
    ]


def test_programs_read_the_same() -> None:
    notice = the_notice(*MIXED[:3])
    told = msgspec.json.decode(body(notice))
    assert (told["type"], told["timestamp"]) == ("notice.news", "2026-10-30T12:00:00Z")
    assert told["data"]["stakes"] == {"EUR": "21.00"}
    assert told["data"]["groups"][0] == {
        "class": "period",
        "where": "erp-charges",
        "count": 2,
        "stakes": {"EUR": "21.00"},
        "subjects": ["psa:1", "psa:2"],
    }
    assert body(notice) == body(notice)


def test_a_message_stays_short_however_much_there_is() -> None:
    notice = the_notice(*(item(n, where=f"lane-{n % 500}", subject="s" * 5000) for n in range(2000)))
    assert (len(notice.groups), notice.left_out, notice.count) == (GROUPS, 480, 2000)
    assert len(text(notice)) < 10_000
    assert len(body(notice)) < 20_000


def test_a_name_that_others_chose_cannot_make_a_line_or_steer_a_terminal() -> None:
    told = text(the_notice(item(1, subject="a\r\nAll is resolved.\x1b[2J\u2028b", where="x\ny")))
    assert "\r" not in told and "\x1b" not in told and "\u2028" not in told
    assert "All is resolved." not in told.splitlines()


@pytest.mark.parametrize("kind", ["news", "reminder", "resolved", "test"])
def test_a_heading_is_one_line(kind: deciding.Kind) -> None:
    notice = deciding.Notice(id="m", kind=kind, owner="x\r\nBcc: all@example.com", made_at=START)
    assert len(heading(notice).splitlines()) == 1
    assert heading(notice).startswith("isthmus: ")
