"""What a configuration may say, and what an admin is told when it says something else."""

from collections.abc import Callable
from pathlib import Path

import pytest

from isthmus.config import ConfigError, Problem, load

Write = Callable[..., Path]

DAEMON = '[daemon]\nstate_dir = "/var/lib/isthmus"\n'
GOOD = (
    DAEMON
    + """
[connectors.crm]
plugin = "salesforce"
entity = "acme-us"
login_url = "https://login.example"

[lanes.to-crm]
connector = "crm"

[lanes.billing]
process = "billing"

[routes]
"invoice.released" = ["to-crm"]
"""
)
AFTER_GOOD = GOOD.count("\n") + 1


def problems(directory: Path) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        load(directory)
    return caught.value.problems


def test_what_is_not_said_has_its_documented_default(write: Write) -> None:
    config = load(write(GOOD))
    assert config.daemon.ops_listen == "127.0.0.1:9477"
    assert config.daemon.socket == Path("/var/lib/isthmus/admin.sock")
    assert config.connectors["crm"].read is None
    assert config.connectors["crm"].settings == {"login_url": "https://login.example"}
    lane = config.lanes["to-crm"]
    assert (lane.stage, lane.mode, lane.max_age_s, lane.hold_on_dead) == (
        "live",
        "transactional",
        259200,
        False,
    )
    assert config.routes == {"invoice.released": ("to-crm",)}
    assert config.warnings == ()


def test_files_of_conf_d_add_to_the_tables_of_the_main_file(write: Write) -> None:
    config = load(
        write(
            GOOD,
            **{
                "20-more": '[connectors.crm]\npoll_s = 5\n[connectors.erp]\nplugin = "p"\nentity = "b"\n',
                "30-late": '[lanes.erp]\nconnector = "erp"\n[routes]\n"customer.changed" = ["erp"]\n',
            },
        )
    )
    assert config.connectors["crm"].poll_s == 5
    assert config.connectors["crm"].plugin == "salesforce"
    assert set(config.routes) == {"invoice.released", "customer.changed"}


def test_relative_paths_start_at_the_configuration(write: Write) -> None:
    directory = write('[daemon]\nstate_dir = "state"\nsecrets_dir = "../secrets"\n')
    config = load(directory)
    assert config.daemon.state_dir == directory / "state"
    assert config.daemon.secrets_dir == directory / "../secrets"


@pytest.mark.parametrize(
    ("text", "place", "code", "says"),
    [
        pytest.param("[daemon]\n", "1:2", "missing-key", 'needs "state_dir"', id="a setting is missing"),
        pytest.param(
            DAEMON + "drain = 3\n",
            "3:1",
            "unknown-key",
            'did you mean "drain_s"?',
            id="a setting is misspelt",
        ),
        pytest.param("[deamon]\n" + DAEMON, "1:2", "unknown-key", '"daemon"?', id="a table is misspelt"),
        pytest.param(
            DAEMON + 'drain_s = "20"\n', "3:1", "bad-value", "expected `float`, got `str`", id="a wrong type"
        ),
        pytest.param(DAEMON + "drain_s = -1\n", "3:1", "bad-value", ">= 0", id="a value out of range"),
        pytest.param(
            DAEMON + 'log_level = "warn"\n', "3:1", "bad-value", 'did you mean "warning"?', id="a wrong word"
        ),
        pytest.param(
            DAEMON + 'ops_listen = "9477"\n', "3:1", "bad-value", "write host:port", id="no listen address"
        ),
        pytest.param(
            DAEMON + 'ops_listen = "::1:9477"\n', "3:1", "bad-value", "host:port", id="IPv6 without brackets"
        ),
        pytest.param(
            '[daemon]\nstate_dir = "~/isthmus"\n',
            "2:1",
            "bad-value",
            "not expanded",
            id="a path with a tilde",
        ),
        pytest.param(
            DAEMON + "plugins = [1]\n", "3:12", "bad-value", "plugins[0]", id="a wrong list element"
        ),
        pytest.param("daemon = 3\n", "1:1", "not-a-table", "[daemon]", id="a value where a table belongs"),
        pytest.param(
            DAEMON + "[connectors.a]\nentity = 'e'\n", "3:13", "missing-key", '"plugin"', id="no plugin named"
        ),
        pytest.param(
            DAEMON + "[connectors.'crm:1']\nplugin='p'\nentity='e'\n",
            "3:13",
            "bad-name",
            "dashes",
            id="a colon",
        ),
        pytest.param(
            DAEMON + "[connectors.billing]\nplugin='p'\nentity='e'\n",
            "3:13",
            "bad-name",
            "is the name of a process",
            id="a connector named like a process",
        ),
        pytest.param(
            DAEMON + "[lanes.a]\n", "3:8", "lane-target", "has neither", id="a lane that leads nowhere"
        ),
        pytest.param(
            GOOD + '[lanes.x]\nconnector = "crm"\nprocess = "burn"\nstage = "off"\n',
            f"{AFTER_GOOD}:8",
            "lane-target",
            "has both",
            id="a lane that leads to two ends",
        ),
        pytest.param(
            DAEMON + '[lanes.a]\nprocess = "burn"\nlag_window_s = 5\n',
            "5:1",
            "lag-window",
            "analytical",
            id="a lag window on a lane that may not lag",
        ),
        pytest.param(
            GOOD.replace('connector = "crm"', 'connector = "crn"'),
            "10:1",
            "unknown-connector",
            'did you mean "crm"?',
            id="a lane to an unknown instance",
        ),
        pytest.param(
            GOOD.replace('process = "billing"', 'process = "biling"'),
            "13:1",
            "unknown-process",
            'did you mean "billing"?',
            id="an unknown process",
        ),
        pytest.param(
            GOOD + '[lanes.again]\nprocess = "billing"\n',
            f"{AFTER_GOOD + 1}:1",
            "process-twice",
            '"billing" already',
            id="one process in two lanes",
        ),
        pytest.param(
            GOOD + '"invoice.relased" = []\n',
            f"{AFTER_GOOD}:1",
            "unknown-event",
            'did you mean "invoice.released"?',
            id="a route for an unknown kind",
        ),
        pytest.param(
            GOOD + 'invoice.voided = ["to-crm"]\n',
            f"{AFTER_GOOD}:1",
            "unknown-event",
            '"invoice.voided" = [...]',
            id="a kind without its quotes",
        ),
        pytest.param(
            GOOD + '"invoice.voided" = ["to-crn"]\n',
            f"{AFTER_GOOD}:21",
            "unknown-lane",
            'did you mean "to-crm"?',
            id="a route to an unknown lane, at the lane's name",
        ),
        pytest.param(
            GOOD + '"invoice.voided" = "to-crm"\n', f"{AFTER_GOOD}:1", "bad-value", "a list", id="no list"
        ),
        pytest.param(
            GOOD + '"invoice.voided" = ["to-crm", "to-crm"]\n',
            f"{AFTER_GOOD}:31",
            "lane-twice",
            "named twice",
            id="one lane twice in a route",
        ),
        pytest.param(
            GOOD + '"time.approved" = ["billing"]\n',
            f"{AFTER_GOOD}:20",
            "route-to-process",
            "takes the facts it consumes",
            id="a route to a process",
        ),
        pytest.param(
            DAEMON + '[lanes.a]\nprocess="burn"\nretry_first_s = 60\nretry_max_s = 30\n',
            "5:1",
            "bad-value",
            "must not be more than retry_max_s",
            id="settings that contradict each other, at the first that is named",
        ),
        pytest.param(DAEMON + "x = \n", "3:5", "syntax", "invalid value", id="text that is no TOML"),
        pytest.param(DAEMON + 'x = "', "3:6", "syntax", "", id="a string that never ends"),
        pytest.param("x = " + "[" * 3000 + "]" * 3000, "1:1", "syntax", "too deep", id="endless nesting"),
    ],
)
def test_a_mistake_is_told_at_its_place(write: Write, text: str, place: str, code: str, says: str) -> None:
    found = problems(write(text))
    assert [f"{it.line}:{it.column} {it.code}" for it in found] == [f"{place} config.{code}"], found
    assert says in str(found[0])


def test_all_mistakes_of_all_files_are_told_at_once(write: Write) -> None:
    directory = write(
        '[daemon]\nstate_dir = 5\ndrain = 1\n[lanes.a]\nconnector = "no"\nmode = "x"\n',
        a="[lanes.b]\n",
        b="[lanes.c\n",
        c="x = [\n",
    )
    told = [f"{it.file.name}:{it.line} {it.code}" for it in problems(directory)]
    assert told == [
        "isthmus.toml:2 config.bad-value",
        "isthmus.toml:3 config.unknown-key",
        "isthmus.toml:6 config.bad-value",
        "a.toml:1 config.lane-target",
        "b.toml:1 config.syntax",
        "c.toml:2 config.syntax",
    ]


def test_what_an_unreadable_file_may_hold_is_not_called_missing(write: Write) -> None:
    directory = write(
        DAEMON + '[lanes.a]\nconnector = "erp"\n[routes]\n"deal.won" = ["b"]\n', x="[connectors.\n"
    )
    assert [it.code for it in problems(directory)] == ["config.syntax"]


def test_a_key_set_in_two_files_names_both_places(write: Write) -> None:
    directory = write(GOOD, a='[connectors.crm]\nplugin = "other"\n', b='[routes]\n"invoice.released" = []\n')
    found = problems(directory)
    assert [(it.file.name, it.line, it.code) for it in found] == [
        ("a.toml", 2, "config.duplicate-key"),
        ("b.toml", 2, "config.duplicate-key"),
    ]
    assert f"first in {directory / 'isthmus.toml'}:5" in found[0].hint


def test_a_lane_that_receives_nothing_is_a_warning_unless_it_is_off(write: Write) -> None:
    lanes = '[lanes.idle]\nconnector = "crm"\n[lanes.resting]\nconnector = "crm"\nstage = "off"\n'
    config = load(write(GOOD, more=lanes))
    assert [(it.code, it.severity, it.line) for it in config.warnings] == [
        ("config.lane-without-route", "warning", 1)
    ]
    assert '"idle"' in config.warnings[0].message


def test_a_directory_without_isthmus_toml_is_told_as_such(tmp_path: Path) -> None:
    assert [it.code for it in problems(tmp_path)] == ["config.missing-file"]


def test_a_file_that_is_not_text_is_told_as_such(write: Write, tmp_path: Path) -> None:
    write(GOOD)
    (tmp_path / "conf.d" / "x.toml").write_bytes(b"a = '\xff'")
    assert [it.code for it in problems(tmp_path)] == ["config.unreadable"]


def test_problems_read_as_a_compiler_writes_them(write: Write) -> None:
    directory = write(GOOD + '"invoice.voided" = ["to-crn"]\n')
    with pytest.raises(ConfigError) as caught:
        load(directory)
    assert str(caught.value) == (
        f"{directory / 'isthmus.toml'}:{AFTER_GOOD}:21: error[config.unknown-lane]: "
        'there is no lane "to-crn"\n'
        f'{AFTER_GOOD:>4} | "invoice.voided" = ["to-crn"]\n'
        f'     | {" " * 20}^^^^^^^^ did you mean "to-crm"?\n'
        "1 file, 1 error, 0 warnings"
    )


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(
            '[daemon]\nstate_dir = "/s"\npassword = "hunter2"\n', id="in a table that has no secrets"
        ),
        pytest.param('[connectors.a]\nplugin = "hunter2"\nentity = 1\n', id="in a connector"),
        pytest.param('password = "hunter2\n', id="in a line that does not parse"),
        pytest.param('[connectors.a]\nkey = """\nhunter2\n', id="in a string of several lines"),
        pytest.param('[connectors.a]\nentity = { x = "hunter2", y = hunter2 }\n', id="in an inline table"),
        pytest.param('[connectors.a]\nread = [\n "hunter2", 1]\nentity = 1\n', id="in a line without a key"),
    ],
)
def test_a_value_that_may_be_a_secret_is_not_shown(write: Write, text: str) -> None:
    directory = write(text)
    with pytest.raises(ConfigError) as caught:
        load(directory)
    assert "hunter2" not in str(caught.value)
