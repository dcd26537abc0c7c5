"""The attributes of paths in the journal: what is written is read, and what is damaged is never
read as other attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path as File

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from porter_ryu.bgp.output import journal_reading
from porter_ryu.bgp.output.journal_line import (
    MAX_DEFINITION_OCTETS,
    MAX_LINE_OCTETS,
    kept,
    struck_out,
)
from porter_ryu.bgp.protocol.rib_out import SentPaths
from porter_ryu.bgp.protocol.update import PathId
from porter_ryu.domain.announcement import LEAVING, NO_ATTRIBUTES, PathAttributes, SentPath
from porter_ryu.domain.communities import WELL_KNOWN, parse_communities
from porter_ryu.domain.model import Network

FIRST, SECOND = ip_network("203.0.113.1/32"), ip_network("203.0.113.2/32")
HOP, HOP6 = ip_address("192.168.0.7"), ip_address("fd00::7")
POOL = PathAttributes((65000 << 16 | 1, WELL_KNOWN["no-export"]), ((65000, 1, 2),), 200, 30, 2, 3)
POOL_TEXT = (
    "communities=65000:1,no-export,65000:1:2 local_pref=200 med=30 as_path_prepend=2 bandwidth=3"
)

# each example writes a file
UNTIMED = settings(deadline=None)

Table = Mapping[Network, SentPaths]

numbers = st.integers(0, 2**32 - 1)
attributes = st.builds(
    PathAttributes,
    st.sets(st.one_of(numbers, st.sampled_from(list(WELL_KNOWN.values()))), max_size=64).map(
        lambda found: tuple(sorted(found))
    ),
    st.sets(st.tuples(numbers, numbers, numbers), max_size=64).map(
        lambda found: tuple(sorted(found))
    ),
    st.none() | numbers,
    st.none() | numbers,
    st.integers(0, 32),
    st.none() | st.integers(1, 16),
)
hops = st.integers(1, 40).map(lambda n: ip_address(f"192.168.0.{n}")) | st.integers(1, 40).map(
    lambda n: ip_address(f"fd00::{n:x}")
)
sent_paths = st.builds(SentPath, hops, st.just(NO_ATTRIBUTES) | st.none() | attributes)
tables = st.dictionaries(
    st.integers(0, 20).map(lambda n: ip_network(f"203.0.113.{n}/32")),
    st.dictionaries(st.none() | numbers, sent_paths, min_size=1, max_size=40),
    min_size=1,
    max_size=8,
)


def read(file: File, octets: bytes) -> Table:
    """What a journal with these octets says."""
    file.write_bytes(octets)
    return journal_reading.read(str(file)).paths


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> File:
    """The place of a journal."""
    return tmp_path_factory.mktemp("journal") / "leaf"


@UNTIMED
@given(tables)
@example({FIRST: {7: SentPath(HOP, PathAttributes(local_pref=0, med=0))}})
@example({FIRST: {None: SentPath(HOP6, LEAVING)}})
def test_what_is_written_is_read(file: File, table: dict[Network, SentPaths]) -> None:
    lines = kept(table.items())
    assert read(file, lines.octets) == table
    assert lines.paths == sum(map(len, table.values()))
    for line in lines.octets.splitlines(keepends=True):
        assert len(line) <= (MAX_DEFINITION_OCTETS if line.startswith(b"=") else MAX_LINE_OCTETS)


def test_it_is_text_that_a_human_can_read() -> None:
    table: Table = {
        FIRST: {7: SentPath(HOP, POOL), 8: SentPath(HOP), 9: SentPath(HOP, None)},
        SECOND: {7: SentPath(HOP, POOL)},
    }
    definition, *lines = kept(table.items()).octets.decode().splitlines()
    sign, digest, text = definition.split(" ", 2)
    assert (sign, text) == ("=", POOL_TEXT)
    assert lines == [
        f"+ 203.0.113.1/32 7 192.168.0.7={digest} 8 192.168.0.7 9 192.168.0.7=?",
        f"+ 203.0.113.2/32 7 192.168.0.7={digest}",
    ]


def test_paths_without_attributes_are_written_as_ever(file: File) -> None:
    octets = b"+ 203.0.113.1/32 7 192.168.0.7 8 192.168.0.8\n"
    table: Table = {FIRST: {7: SentPath(HOP), 8: SentPath(ip_address("192.168.0.8"))}}
    assert kept(table.items()).octets == octets
    assert read(file, octets) == table


def test_communities_in_any_order_are_one_set_of_attributes(file: File) -> None:
    mixed = PathAttributes((7, 5, 7), ((2, 1, 1), (1, 1, 1)))
    want = PathAttributes((5, 7), ((1, 1, 1), (2, 1, 1)))
    octets = kept([(FIRST, {7: SentPath(HOP, mixed)})]).octets
    assert read(file, octets) == {FIRST: {7: SentPath(HOP, want)}}


def test_ten_thousand_prefixes_with_few_sets_of_attributes_do_not_repeat_them() -> None:
    large = parse_communities([f"65000:{n}:{n}" for n in range(60)]).large
    sets = [PathAttributes((), large, med=n) for n in range(4)]
    hop = ip_address("192.168.0.7")
    plain: SentPaths = {n: SentPath(hop) for n in range(4)}
    several: SentPaths = {n: SentPath(hop, sets[n]) for n in range(4)}
    prefixes = [ip_network(0xCB000000 + n) for n in range(10_000)]
    before = len(kept((prefix, plain) for prefix in prefixes).octets)
    after = len(kept((prefix, several) for prefix in prefixes).octets)
    assert after - before == 40_000 * len("=0123456789abcdef") + 4 * len(
        f"= 0123456789abcdef communities={','.join(f'65000:{n}:{n}' for n in range(60))} med=0\n"
    )


def test_the_same_paths_share_one_mapping(file: File) -> None:
    paths: SentPaths = {7: SentPath(HOP, POOL)}
    found = read(file, kept([(FIRST, paths), (SECOND, dict(paths))]).octets)
    assert found[FIRST] is found[SECOND]


def written(attributes: PathAttributes) -> tuple[bytes, bytes]:
    """The definition of these attributes and the line of a path with them."""
    definition, line = kept([(FIRST, {7: SentPath(HOP, attributes)})]).octets.splitlines(True)
    return definition, line


DEFINITION, LINE = written(POOL)
UNKNOWN: Table = {FIRST: {7: SentPath(HOP, None)}}
BAD_DEFINITIONS = {
    "none": b"",
    "another value": DEFINITION.replace(b"med=30", b"med=31"),
    "another community": DEFINITION.replace(b"no-export", b"no-peer"),
    "one community less": DEFINITION.replace(b"65000:1,no-export", b"65000:1"),
    "no attributes": DEFINITION[:18] + b"\n",
    "no text": DEFINITION[:19] + b"\n",
    "cut": DEFINITION[:40] + b"\n",
    "merged with the next line": DEFINITION[:40],
    "merged at its end": DEFINITION[:-1],
    "an unknown attribute": DEFINITION.replace(b"med=30", b"med=30 origin=1"),
    "an attribute twice": DEFINITION.replace(b"med=30", b"med=30 med=30"),
    "not a pair": DEFINITION.replace(b"med=30", b"med"),
    "another order": DEFINITION.replace(b"local_pref=200 med=30", b"med=30 local_pref=200"),
    "another digest": DEFINITION.replace(DEFINITION[2:18], b"0123456789abcdef"),
    "a short digest": DEFINITION.replace(DEFINITION[2:18], DEFINITION[2:10]),
    "another sign": b"*" + DEFINITION[1:],
    "CR LF": DEFINITION[:-1] + b"\r\n",
    "NULs": b"\0" * len(DEFINITION) + b"\n",
    "NULs within": DEFINITION[:30] + b"\0" * 9 + DEFINITION[39:],
    "much too long": DEFINITION[:-1] + b"0" * MAX_DEFINITION_OCTETS + b"\n",
}


@pytest.mark.parametrize("bad", BAD_DEFINITIONS.values(), ids=BAD_DEFINITIONS)
def test_a_path_whose_attributes_are_damaged_is_kept_as_one_to_be_withdrawn(
    tmp_path: File, caplog: pytest.LogCaptureFixture, bad: bytes
) -> None:
    file = tmp_path / "leaf"
    found = read(file, bad + LINE + b"+ 203.0.113.2/32 7 192.168.0.7\n")
    assert found == {**UNKNOWN, SECOND: {7: SentPath(HOP)}}
    assert "leaf" in caplog.text
    assert journal_reading.read(str(file)).damaged
    rewritten = kept(found.items()).octets
    caplog.clear()
    assert read(file, rewritten) == found
    assert not journal_reading.read(str(file)).damaged
    assert caplog.text == "", "told once"
    assert read(file, bad + LINE + LINE + DEFINITION) == {FIRST: {7: SentPath(HOP, POOL)}}, (
        "once is enough"
    )


BAD_NAMES = {
    "cut": LINE[:-9],
    "cut, and a line end": LINE[:-9] + b"\n",
    "no digest": LINE[:-17] + b"\n",
    "too long": LINE[:-1] + b"0\n",
    "in capitals": LINE[:-17] + LINE[-17:].upper(),
    "more than unknown": LINE[:-17] + b"??\n",
    "a sign more": LINE.replace(b"=", b"=="),
    "merged": LINE[:-9] + b"+ 203.0.113.9/32 9 192.168.0.9\n",
    "NULs at its end": LINE[:-9] + b"\0" * 8 + b"\n",
    "the next hop cut": LINE[: LINE.index(b"=") - 1] + b"\n",
    "after the prefix": b"+ 203.0.113.1/32 \n",
    "merged after the prefix": b"+ 203.0.113.1/32 7 1+ 203.0.113.9/32 9 192.168.0.9\n",
}


@pytest.mark.parametrize("bad", BAD_NAMES.values(), ids=BAD_NAMES)
@pytest.mark.parametrize("before", [PathAttributes(med=1), NO_ATTRIBUTES], ids=["other", "no"])
def test_a_damaged_line_may_have_changed_the_attributes_of_its_paths(
    file: File, bad: bytes, before: PathAttributes
) -> None:
    earlier = kept([(FIRST, {7: SentPath(HOP, before)}), (SECOND, {7: SentPath(HOP, before)})])
    found = read(file, earlier.octets + DEFINITION + bad)
    assert found[FIRST] == UNKNOWN[FIRST]
    assert found[SECOND] == {7: SentPath(HOP, before)}
    again = read(file, earlier.octets + DEFINITION + bad.rstrip(b"\n") + b"\n" + LINE)
    assert again[FIRST] == {7: SentPath(HOP, POOL)}, "a later line counts"


@st.composite
def histories(draw: st.DrawFn) -> list[bytes]:
    """The batches of a journal: paths that are announced with one set of attributes after the
    other, and struck out."""
    sets = draw(st.lists(attributes, min_size=1, max_size=3))
    sets.append(NO_ATTRIBUTES)
    batches = []
    for _ in range(draw(st.integers(1, 8))):
        prefixes = draw(st.sets(st.integers(1, 4), min_size=1))
        table: Table = {
            ip_network(f"203.0.113.{n}/32"): {
                key: SentPath(HOP, draw(st.sampled_from(sets)))
                for key in draw(st.sets(st.sampled_from((7, 77)), min_size=1))
            }
            for n in prefixes
        }
        if draw(st.booleans()) and draw(st.booleans()):
            batches.append(struck_out(table.items()).octets)
        else:
            batches.append(kept(table.items()).octets)
    return batches


def last_said(file: File, batches: Sequence[bytes]) -> dict[tuple[Network, PathId], SentPath]:
    """The last form in which each path was announced."""
    said: dict[tuple[Network, PathId], SentPath] = {}
    for batch in batches:
        for prefix, paths in read(file, batch).items():
            said.update({(prefix, path_id): path for path_id, path in paths.items()})
    return said


@UNTIMED
@given(histories(), st.data())
def test_no_damage_behind_the_prefix_gives_a_path_other_attributes(
    file: File, batches: list[bytes], data: st.DataObject
) -> None:
    want = last_said(file, batches)
    lines = b"".join(batches).splitlines(keepends=True)
    for number in data.draw(st.sets(st.integers(0, len(lines) - 1), min_size=1, max_size=3)):
        line = lines[number]
        start = 0 if line.startswith(b"=") else line.index(b" ", 2) + 1
        at = data.draw(st.integers(start, len(line) - 1))
        kind = data.draw(st.sampled_from(["merged", "NULs"]))
        if kind == "NULs":
            lines[number] = line[:at] + b"\0" * (len(line) - at - 1) + b"\n"
        else:
            lines[number] = line[:at]
    for prefix, paths in read(file, b"".join(lines)).items():
        for path_id, path in paths.items():
            known = want.get((prefix, path_id))
            assert path.attributes is None or path == known, (prefix, path_id)


@UNTIMED
@given(histories(), st.data())
def test_a_journal_that_was_cut_says_what_it_had_said_so_far(
    file: File, batches: list[bytes], data: st.DataObject
) -> None:
    octets = b"".join(batches)
    end = data.draw(st.integers(0, len(octets)))
    whole = octets[: octets.rfind(b"\n", 0, end) + 1]
    before, after = read(file, whole), read(file, octets[:end])
    for prefix, paths in after.items():
        for path_id, path in paths.items():
            assert path.attributes is None or path == before[prefix][path_id]
    for prefix, path_ids in before.items():
        assert path_ids.keys() <= after[prefix].keys(), "each may have to be withdrawn"


PARTS = (b"+ ", b"= ", b"- ", b"=", b"?", b"7 ", b"\n", b"203.0.113.1/32 ", b"192.168.0.7")


@UNTIMED
@given(st.binary(max_size=200), st.lists(st.sampled_from([*PARTS, DEFINITION, LINE]), max_size=12))
def test_garbage_is_left_out(file: File, octets: bytes, parts: list[bytes]) -> None:
    for contents in (octets, b"".join(parts), octets + b"".join(parts)):
        assert all(read(file, contents).values())


def test_lines_are_bounded() -> None:
    """The longest that can be written: IPv6, the greatest numbers, 64 communities of each kind."""
    most = 2**32 - 1
    fullest = PathAttributes(
        tuple(range(most - 64, most)),
        tuple((most, most, number) for number in range(most - 64, most)),
        most,
        most,
        32,
        16,
    )
    hop = ip_address("2001:db8:1111:2222:3333:4444:5555:6666")
    prefix = ip_network("2001:db8:1111:2222:3333:4444:5555:6666/128")
    paths: SentPaths = {most - number: SentPath(hop, fullest) for number in range(17)}
    lines = kept([(prefix, paths)]).octets.splitlines(keepends=True)
    assert [line[:1] for line in lines] == [b"=", b"+", b"+"]
    assert len(lines[0]) <= MAX_DEFINITION_OCTETS
    assert max(map(len, lines[1:])) <= MAX_LINE_OCTETS
