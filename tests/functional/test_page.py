"""What a person sees of the page, in Chromium on the host of a running instance with FRR and BIRD.

With UPDATE_SCREENSHOTS=1 the pictures of docs/page.md are made again.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from fabric import Fabric, wait_for
from fabric.browser import SECONDS, Browser
from fabric.leaves import Bird, Frr, Leaf, Neighbour
from fabric.objects import Json, eip, node, service, slice_of
from fabric.program import Program
from tests.functional import page_rules
from tests.functional.conftest import LEAVES, OURS
from tests.functional.page_views import (
    PICTURED,
    URL,
    breaks,
    drawn_leaves,
    drawn_nodes,
    expect_break,
    picture,
    strands,
)

WEB = f"{URL}#/services/default/web"
NODES = {f"n{number}": f"192.168.7.1{number}" for number in range(1, 6)}
PREFIX = "203.0.113.14"
LEAF_ADDRESSES = {"leaf1": LEAVES["frr"], "leaf2": LEAVES["bird"]}
DRAINED = {"porter.kubesphere.io/drain": "true"}


@pytest.fixture(scope="module")
def leaves(fabric: Fabric) -> dict[str, Leaf]:
    """FRR and BIRD."""
    us, hosts = [Neighbour(OURS, 65000)], fabric.hosts
    return {
        "leaf1": Frr(fabric, hosts["frr"], 65001, LEAF_ADDRESSES["leaf1"], us).start(),
        "leaf2": Bird(hosts["bird"], 65002, LEAF_ADDRESSES["leaf2"], us).start(),
    }


@pytest.fixture(scope="module")
def program(fabric: Fabric, leaves: object) -> Iterator[Program]:
    """The program with both as peers."""
    sections: dict[str, dict[str, object]] = {
        "bgp": {
            "local_as": 65000,
            "router_id": OURS,
            "peers": ",".join(LEAF_ADDRESSES),
            "weights": "endpoints",
        },
        "bound_ip": {"mode": "none"},
        "drain": {"seconds": 1},
    }
    for number, (name, address) in enumerate(LEAF_ADDRESSES.items(), 65001):
        keys = {"address": address, "remote_as": number, "connect_retry": 1}
        sections[f"peer:{name}"] = keys
    program = Program(fabric.hosts["porter"], sections, installed=PICTURED)
    put_cluster(program)
    yield program.start()
    program.stop()


def put_cluster(program: Program) -> None:
    """Five nodes and ten Services, all well."""
    for name, address in NODES.items():
        program.put(name, node(name, address))
    private = eip("private", "10.20.0.0/29", autoAssign=False)
    program.put("pools", eip("public", "203.0.113.0/28"), private)
    program.put("web", service("web", annotations={"eip.porter.kubesphere.io/v1alpha1": PREFIX}))
    program.put("web-slice", slice_of("web", "n1", "n2", "n3"))
    program.put("local", service("dns", externalTrafficPolicy="Local"))
    program.put("local-slice", slice_of("dns", "n4", "n5"))
    for number in range(8):
        name = f"shop-{number}"
        hosts = [f"n{1 + (number + more) % 5}" for more in range(2)]
        program.put(name, service(name), slice_of(name, *hosts))


@pytest.fixture(scope="module")
def opened(program: Program, fabric: Fabric) -> Iterator[Browser]:
    """Chromium on the host of the program."""
    browser = Browser(fabric.hosts["porter"])
    yield browser
    browser.close()


@pytest.fixture
def page(opened: Browser, program: Program, leaves: dict[str, Leaf]) -> Browser:
    """The page with the way of web, while all is well."""
    put_cluster(program)
    opened.size(1280, 900)
    opened.media(prefers_color_scheme="light", prefers_reduced_motion="no-preference")
    opened.open(WEB)
    opened.expect("#summary", "All is well")
    wait_for(
        lambda: drawn_nodes(opened), lambda seen: seen == {"n1", "n2", "n3"}, SECONDS, "the way"
    )
    wait_for(
        lambda: drawn_leaves(opened), lambda seen: seen == {"leaf1", "leaf2"}, SECONDS, "leaves"
    )
    return opened


def test_all_is_well_is_said_first_and_the_way_is_drawn(page: Browser, tmp_path: Path) -> None:
    assert page.script("return document.querySelector('main').firstElementChild.id") == "summary"
    widths = strands(page)
    via = {start for start, end in widths if end == f"eip {PREFIX}"}
    assert via == {"leaf leaf1", "leaf leaf2"}
    of_nodes = [widths[f"eip {PREFIX}", f"node {name}"] for name in ("n1", "n2", "n3")]
    assert max(of_nodes) - min(of_nodes) < 0.5, "each has a third"
    whole = widths["client", "leaf leaf1"] + widths["client", "leaf leaf2"]
    assert abs(sum(of_nodes) - whole) < 1, "what enters comes out"
    assert breaks(page) == {}
    assert f"{PREFIX} is announced" in page.text("#way-sentence")
    assert not page.find("#problems-section").is_displayed()
    picture(page, "page", tmp_path)


def test_strands_are_as_wide_as_the_shares(program: Program, page: Browser) -> None:
    program.put("local-slice", slice_of("dns", "n1", "n1", "n1", "n2"))
    page.open(f"{URL}#/services/default/dns")
    wait_for(
        lambda: drawn_nodes(page), lambda seen: seen == {"n1", "n2"}, SECONDS, "the way of dns"
    )
    [eip_box] = {start for start, end in strands(page) if end == "node n1"}
    widths = strands(page)
    assert abs(widths[eip_box, "node n1"] / widths[eip_box, "node n2"] - 3) < 0.1
    assert widths["node n1", "endpoints n1"] == widths[eip_box, "node n1"], "Local stays there"
    assert "3 ready" in page.text("#drawing")


def test_a_lost_node_breaks_its_strand_without_a_reload(
    program: Program, page: Browser, tmp_path: Path
) -> None:
    page.script("window.sameDocument = true")
    program.put("n2", node("n2", NODES["n2"], ready=False))
    mend = "the manifest of Node n2"
    expect_break(page, f"eip {PREFIX}", "node n2", "it is not Ready", mend)
    assert drawn_nodes(page) == {"n1", "n3"}
    assert page.script("return window.sameDocument") is True
    assert "not usable" not in page.text("#summary")
    page.expect("#nodes", "it is not Ready")
    picture(page, "page-broken", tmp_path, "#way")


def test_what_counts_in_its_last_good_form_is_said(program: Program, page: Browser) -> None:
    """As `porter-ryu explain` says it."""
    assert page.text("#cautions") == ""
    for name in ("web", "n1"):
        (program.manifests / f"{name}.yaml").write_text("kind: [oops\n")
    told = page.expect("#cautions", "Node n1: its last good form counts: n1.yaml:2: ")
    assert "Service default/web: its last good form counts: web.yaml:2: " in told
    assert drawn_nodes(page) == {"n1", "n2", "n3"}, "it is announced as before"
    page.expect("#problems", "2 files cannot be read in full")
    put_cluster(program)
    wait_for(lambda: page.text("#cautions"), lambda text: not text, SECONDS, "all can be read")


def test_a_drained_node_says_how_to_undo_it(program: Program, page: Browser) -> None:
    program.put("n1", node("n1", NODES["n1"], annotations=DRAINED))
    undo = "it is drained by annotation porter.kubesphere.io/drain"
    expect_break(page, f"eip {PREFIX}", "node n1", "drained by annotation", undo)


def test_no_ready_endpoint_is_the_first_sentence_and_breaks_at_the_endpoints(
    program: Program, page: Browser
) -> None:
    program.put("web-slice", slice_of("web", "n1", "n2", ready=False))
    summary = page.expect("#summary", "1 of 10 Services cannot be reached")
    assert "no ready endpoint" in summary
    first = page.expect("#problems li:first-child", "default/web")
    assert "endpoint" in first
    mend = "the manifest of the EndpointSlices of Service default/web"
    expect_break(page, "node n1", "endpoints n1", "no endpoint is ready", mend)
    assert not any(end.startswith("node") for _, end in strands(page))
    boxes = page.texts("#drawing [data-box^='endpoints'] text:first-of-type")
    assert boxes == ["1 not ready", "1 not ready"]


def test_endpoints_that_are_not_ready_have_what_mends_them(program: Program, page: Browser) -> None:
    quiet = slice_of("web", "n4", name="web-quiet", ready=False)
    program.put("web-slice", slice_of("web", "n1"), quiet)
    mend = "the manifest of the EndpointSlices of Service default/web"
    expect_break(page, "node n4", "endpoints n4", "n4: 1 endpoint not ready", mend)
    assert f"{PREFIX} is announced" in page.text("#way-sentence")


def test_of_two_addresses_each_is_said_to_be_announced_or_not(
    program: Program, page: Browser, leaves: dict[str, Leaf]
) -> None:
    both = service("web", families=["IPv4", "IPv6"], ipFamilyPolicy="RequireDualStack")
    six = eip("six", "2001:db8::8")
    program.put("web", both, six, slice_of("web", "n1", family="IPv6"))
    sentence = page.expect("#way-sentence", "2001:db8::8 is not")
    assert "is announced;" in sentence
    expect_break(page, "eip 2001:db8::8", "node n1", "it has no IPv6 address")
    leaf = leaves["leaf2"]
    assert isinstance(leaf, Bird)
    leaf.stop()
    why = "leaf2: the session is"
    expect_break(page, "leaf leaf2", "eip 2001:db8::8", why)
    cards = [text for text in page.texts("#breaks li") if why in text]
    assert len(cards) == 1, "one number for one reason"
    leaf.start()
    wait_for(lambda: drawn_leaves(page), lambda seen: seen == {"leaf1", "leaf2"}, SECONDS, "leaf2")


def test_who_shares_an_address_is_said_and_what_that_costs(program: Program, page: Browser) -> None:
    shared = {
        "eip.porter.kubesphere.io/share": "key",
        "eip.porter.kubesphere.io/v1alpha1": PREFIX,
    }
    ports = [{"port": 81, "protocol": "TCP"}]
    other = service("near", annotations=shared, ports=ports, externalTrafficPolicy="Local")
    program.put("web", service("web", annotations=shared), other, slice_of("near", "n2"))
    page.expect("#way-sentence", f"{PREFIX} is shared with default/near")
    expect_break(page, f"eip {PREFIX}", "node n1", "shares", "default/near")
    wait_for(lambda: drawn_nodes(page), lambda seen: seen == {"n2"}, SECONDS, "the common node")


@pytest.fixture
def refused_configuration(program: Program, page: Browser) -> Iterator[str]:
    """A change of the configuration that is not loaded, while the page is open; the command that
    shows what is wrong."""
    del page
    text = program.config.read_text()
    program.config.write_text(f"{text}[nonsense]\nkey = 1\n")
    yield f"porter-ryu check --config-file {program.config}"
    program.config.write_text(text)


@pytest.mark.parametrize("clipboard", ["navigator.clipboard", "undefined"])
def test_a_command_is_copied_with_the_keyboard_alone(
    refused_configuration: str, page: Browser, clipboard: str
) -> None:
    page.script(f"Object.defineProperty(navigator, 'clipboard', {{value: {clipboard}}})")
    page.expect("#problems", refused_configuration)
    page.script("document.querySelector('#problems .copy').focus()")
    page.press(Keys.ENTER)
    page.expect("#copied", f"Copied: {refused_configuration}")
    page.find("#search").send_keys(Keys.CONTROL, "v")
    value = "return document.querySelector('#search').value"
    copied = refused_configuration.__eq__
    wait_for(lambda: page.script(value), copied, SECONDS, "what was copied")


def test_causes_are_ranked_by_what_they_cost(program: Program, page: Browser) -> None:
    program.put("web-slice", slice_of("web", "n1", ready=False))
    for number in range(3):
        name = f"shop-{number}"
        program.put(name, service(name, annotations={"eip.porter.kubesphere.io/pool": "none"}))
    page.expect("#summary", "4 of 10 Services cannot be reached")
    costs = [int(text.split("costs ")[1].split()[0]) for text in page.texts("#problems > li")]
    assert costs == sorted(costs, reverse=True)
    assert costs[0] == 3
    page.click("#problems li:first-child a")
    page.expect("#way-title", "shop-0")
    expect_break(page, "leaf leaf1", "address", "none")


def test_a_leaf_that_is_down_is_broken_where_it_is(
    program: Program, page: Browser, leaves: dict[str, Leaf]
) -> None:
    leaf = leaves["leaf2"]
    assert isinstance(leaf, Bird)
    leaf.stop()
    expect_break(page, "leaf leaf2", f"eip {PREFIX}", "leaf2: the session is", "porter-ryu history")
    assert drawn_leaves(page) == {"leaf1"}
    page.expect("#peers", "for ")
    page.expect("#summary", "leaf2")
    leaf.start()
    wait_for(lambda: drawn_leaves(page), lambda seen: seen == {"leaf1", "leaf2"}, SECONDS, "leaf2")
    page.expect("#summary", "All is well")


def test_search_by_name_and_address_with_the_keyboard_alone(page: Browser) -> None:
    body = page.find("body")
    body.send_keys("/")
    assert page.script("return document.activeElement.id") == "search"
    page.press("shop-3")
    page.expect("#found", "1 Service that matches")
    page.press(Keys.ENTER)
    page.expect("#way-title", "default/shop-3")
    address = page.script("return document.querySelector('#services td:nth-child(3)').innerText")
    search = page.find("#search")
    search.clear()
    search.send_keys(address)
    page.expect("#services", "shop-3")
    search.clear()
    search.send_keys("nothing-like-it")
    page.expect("#found", "No Service matches")


def test_everything_can_be_reached_by_tab_and_shows_where_the_focus_is(page: Browser) -> None:
    wanted = page.script(page_rules.REACHED)
    page.script("document.activeElement.blur(); scrollTo(0, 0)")
    seen: set[int] = set()
    for _ in range(wanted + 5):
        page.find("body").send_keys(Keys.TAB) if not seen else (page.press(Keys.TAB))
        state = page.script(
            "const e = document.activeElement; if (e === document.body) return null;"
            "window.reached ??= new Map(); if (!reached.has(e)) reached.set(e, reached.size);"
            "return [reached.get(e), getComputedStyle(e).outlineStyle]"
        )
        if state is None:
            break
        assert state[1] != "none", "the focus can be seen"
        seen.add(state[0])
    assert len(seen) >= wanted - 2  # radio buttons are one stop


def test_the_time_ribbon_replays_the_drawing(program: Program, page: Browser) -> None:
    program.put("web-slice", slice_of("web", "n1", "n4"))
    wait_for(lambda: drawn_nodes(page), lambda seen: seen == {"n1", "n4"}, SECONDS, "the way by n4")
    page.expect("#moments", "→ n1 weight 1, n4 weight 1")
    page.click("#previous")
    wait_for(
        lambda: drawn_nodes(page), lambda seen: seen == {"n1", "n2", "n3"}, SECONDS, "the past"
    )
    widths = [width for (_, end), width in strands(page).items() if end.startswith("node ")]
    assert max(widths) - min(widths) < 0.5, "the shares of then"
    assert page.text("#way-sentence").startswith("At ")
    assert "Where endpoints were is not on record" in page.text("#cautions")
    assert "s ago" in page.text("#moment")
    page.click("#next")
    wait_for(lambda: drawn_nodes(page), lambda seen: seen == {"n1", "n4"}, SECONDS, "the present")
    assert page.text("#moment") == "now"
    slider = page.find("#when")
    slider.send_keys(Keys.HOME)
    record = page.expect("#way-sentence", "this is not on record. The record begins at ")
    assert "after this process had started" in record
    assert "cannot be replayed" in page.text("#record")
    slider.send_keys(Keys.END)
    wait_for(
        lambda: drawn_nodes(page), lambda seen: seen == {"n1", "n4"}, SECONDS, "the present again"
    )


def test_what_if_a_node_is_lost_or_drained(page: Browser, tmp_path: Path) -> None:
    page.find("#node-name").send_keys("n1", Keys.ENTER)
    page.expect("#what-if-sentence", "Without n1,")
    assert "would lose one of several nodes" in page.text("#what-if-sentence")
    row = page.texts("#consequences tr")
    [web] = [text for text in row if "default/web" in text]
    assert f"{PREFIX} via n1 33.3 %, n2 33.3 %, n3 33.3 %" in web
    assert f"{PREFIX} via n2 50 %, n3 50 %" in web
    picture(page, "page-what-if", tmp_path, "#what-if")
    page.click("input[value=drain]")
    page.click("#what-if-form button")
    page.expect("#what-if-sentence", "With n1 drained,")
    page.find("#node-name").clear()
    page.find("#node-name").send_keys("n9", Keys.ENTER)
    page.expect("#what-if-sentence", "There is no Node 'n9'")
    assert drawn_nodes(page) == {"n1", "n2", "n3"}, "nothing of it happened"


MARKUP = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


def test_text_of_tenants_is_text(program: Program, page: Browser) -> None:
    asked = {"eip.porter.kubesphere.io/v1alpha1": MARKUP, "eip.porter.kubesphere.io/pool": MARKUP}
    program.put("web", service("web", annotations=asked))
    page.expect("#services", "<img src=x onerror=")
    page.expect("#breaks", "<img src=x onerror=")
    assert page.script("return document.querySelectorAll('img, main script').length") == 0
    assert "owned" not in page.driver.title
    blocked = page.script(
        "try { document.body.innerHTML = '<b>x</b>'; return ''; } catch (e) { return e.name; }"
    )
    assert blocked == "TypeError", "the policy forbids text as markup"


def test_the_browser_runs_and_asks_nothing_else(page: Browser) -> None:
    page.complaints()  # of earlier pages
    page.open(WEB)
    page.expect("#summary", "All is well")
    assert page.script(page_rules.ORIGINS) in ([], ["http://127.0.0.1:8080"])
    assert page.complaints() == []


SCHEMES = pytest.mark.parametrize("scheme", ["light", "dark"])


@SCHEMES
@pytest.mark.parametrize("width", [1280, 390])
def test_contrast_and_room(
    program: Program, page: Browser, scheme: str, width: int, tmp_path: Path
) -> None:
    program.put("n2", node("n2", NODES["n2"], ready=False))
    program.put("n3", node("n3", NODES["n3"], annotations=DRAINED))
    program.put("shop-0", service("shop-0", annotations={"eip.porter.kubesphere.io/pool": "no"}))
    page.media(prefers_color_scheme=scheme)
    page.size(width, 844 if width < 600 else 900)
    expect_break(page, f"eip {PREFIX}", "node n2", "it is not Ready")
    expect_break(page, f"eip {PREFIX}", "node n3", "drained")
    page.expect("#summary", "1 of 10 Services")
    page.find("#node-name").send_keys("n1", Keys.ENTER)
    page.expect("#what-if-sentence", "n1")
    page.click("#way-text summary")
    seen = page.script(page_rules.CONTRAST)
    assert seen["count"] > 100
    assert seen["found"] == []
    assert page.script("return document.documentElement.scrollWidth") <= width
    fits(page, f"at {width}")
    page.click("#way-text summary")
    if (width, scheme) == (390, "light"):
        picture(page, "page-phone", tmp_path, "#way")
    if (width, scheme) == (1280, "dark"):
        picture(page, "page-dark", tmp_path, "body")


def fits(page: Browser, what: str) -> None:
    """Nothing comes to be wider than the window: the drawing follows its size."""
    wait_for(lambda: page.script(page_rules.TOO_WIDE), lambda wide: wide == [], SECONDS, what)


def test_boxes_of_the_drawing_do_not_overlap(page: Browser) -> None:
    for width in (1280, 760, 640, 390, 320):  # 640: 200 % zoom; 320: 400 %
        page.size(width, 900)
        fits(page, f"at {width}")
        boxes = wait_for(
            lambda: page.script(
                "return [...document.querySelectorAll('#drawing .box')].map((e) => "
                "e.getBoundingClientRect()).map((r) => [r.left, r.top, r.right, r.bottom])"
            ),
            bool,
            SECONDS,
            "boxes",
        )
        for (left, top, right, bottom), other in pairwise(sorted(boxes)):
            apart = other[0] >= right or other[2] <= left or other[1] >= bottom or other[3] <= top
            assert apart, f"at {width}"


@pytest.mark.parametrize(("width", "drawn"), [(1280, 12), (390, 2)])
def test_of_many_nodes_the_rest_is_one_box(
    program: Program, page: Browser, width: int, drawn: int
) -> None:
    names = [f"many-{number:02}" for number in range(40)]
    more = [node(name, f"192.168.8.{number}") for number, name in enumerate(names, 1)]
    program.put("more-nodes", *more)
    program.put("web-slice", slice_of("web", *names))
    page.size(width, 900)
    rest = f"{40 - drawn} more nodes"
    what = f"a box for {rest}"
    titles = "#drawing [data-box] text:first-of-type"
    wait_for(lambda: page.texts(titles), lambda seen: rest in seen, SECONDS, what)
    assert "40 endpoints" in page.texts(titles)
    widths = strands(page)
    of_nodes = [width for (start, _), width in widths.items() if start == f"eip {PREFIX}"]
    assert len(of_nodes) == drawn + 1
    assert max(of_nodes) == widths[f"eip {PREFIX}", "more nodes"]
    fits(page, f"at {width}")
    program.remove("more-nodes")


def test_reduced_motion_moves_nothing(page: Browser) -> None:
    page.media(prefers_reduced_motion="reduce")
    moving = page.script(
        "return [...document.querySelectorAll('*')].filter((e) => { const s = getComputedStyle(e); "
        "return s.transitionDuration !== '0s' || s.animationName !== 'none' }).length"
    )
    assert moving == 0


def test_a_screen_reader_gets_a_name_for_everything(page: Browser) -> None:
    page.cdp("Accessibility.enable")
    nodes: list[Json] = page.cdp("Accessibility.getFullAXTree")["nodes"]
    named = {"button", "link", "searchbox", "slider", "textbox", "combobox", "radio", "image"}
    seen = [n for n in nodes if not n.get("ignored") and n.get("role", {}).get("value") in named]
    nameless = [n["role"]["value"] for n in seen if not n.get("name", {}).get("value")]
    assert len(seen) > 20
    assert nameless == []
    names = [n["name"]["value"] for n in seen]
    way = "The way from the client to the endpoints of default/web"
    assert any(name.startswith(way) for name in names)
    headings = [n for n in nodes if n.get("role", {}).get("value") == "heading"]
    assert [n["name"]["value"] for n in headings][:2] == ["Porter-Ryu", "The way of default/web"]
    assert page.script("return document.documentElement.lang") == "en"
    page.click("#way-text summary")
    assert "33.3 %" in page.text("#strands")


def test_tables_are_tables_for_a_screen_reader_on_a_phone_as_well(page: Browser) -> None:
    page.size(390, 844)
    page.cdp("Accessibility.enable")
    nodes: list[Json] = page.cdp("Accessibility.getFullAXTree")["nodes"]
    named = {
        (n["role"]["value"], n.get("name", {}).get("value")) for n in nodes if not n.get("ignored")
    }
    tables = {name for role, name in named if role == "table"}
    assert {"Services", "Pools", "Peers", "Nodes"} <= tables
    assert ("columnheader", "Next hop") in named
    assert {"row", "cell"} <= {role for role, _ in named}


LATE = "const now = Date.now; Date.now = () => now() - 3600500;"


def test_times_are_those_of_the_program_whatever_the_clock_of_the_browser(page: Browser) -> None:
    script = page.cdp("Page.addScriptToEvaluateOnNewDocument", source=LATE)
    try:
        page.open(WEB)
        page.expect("#summary", "All is well")
        wait_for(lambda: drawn_nodes(page), bool, SECONDS, "the way")
        ahead = page.script("return serverNow() - Date.now()")
        # the field Date has whole seconds, and an answer takes its time
        assert 3_400_000 < ahead <= 3_600_501
        page.click("#previous")
        page.expect("#moment", " UTC (")
        assert "-" not in page.text("#moment"), "nothing lies ahead"
        shown = page.script("return document.querySelector('#moments time').dateTime")
        assert shown[11:19] in page.text("#moments")
    finally:
        page.cdp("Page.removeScriptToEvaluateOnNewDocument", identifier=script["identifier"])


@pytest.mark.parametrize(
    ("response", "words"),
    [
        ("new Response('<html>', {status: 401})", "a proxy asks for a login"),
        ("new Response('<html>', {status: 200})", "HTTP 200 without an answer of the program"),
        ("new Response('<html>', {status: 502})", "HTTP 502 without an answer of the program"),
        ("new Response('{\"a\":', {status: 200})", "HTTP 200 without an answer of the program"),
        ('new Response(\'{"error": "<b>no"}\', {status: 403})', "<b>no"),
        ("(() => { throw new TypeError('x') })()", "the connection failed"),
    ],
)
def test_what_stands_between_is_said_in_words(page: Browser, response: str, words: str) -> None:
    page.script(f"window.real = fetch; window.fetch = async () => {response}; refreshSoon()")
    page.expect("#contact", words)
    assert page.text("#summary").startswith("No answer since")
    page.script("window.fetch = window.real; refreshSoon()")
    page.expect("#summary", "All is well")


def test_an_instance_that_is_gone_is_said_and_comes_back(program: Program, page: Browser) -> None:
    program.stop()
    page.expect("#summary", "No answer since", 30)
    page.expect("#contact", "what is shown is old", 30)
    program.start()
    page.expect("#summary", "All is well", 60)


def test_ten_thousand_services(program: Program, page: Browser) -> None:
    many = [service(f"many-{number:05}") for number in range(10_000)]
    slices = [slice_of(f"many-{number:05}", "n1", "n2") for number in range(10_000)]
    program.put("large", eip("large", "10.64.0.0/16", namespaces=["default"], priority=-1))
    program.put_list("many", [*many, *slices])
    page.expect("#states", "10,010", 300)
    assert len(page.texts("#services tbody tr")) == 50
    page.click("#more")
    wait_for(lambda: len(page.texts("#services tbody tr")), lambda n: n == 100, 300, "more of them")
    page.find("#search").send_keys("many-09999")
    page.expect("#found", "1 Service that matches", 300)
    page.find("#search").send_keys(Keys.ENTER)
    page.expect("#way-title", "many-09999", 300)
    wait_for(lambda: drawn_nodes(page), lambda seen: seen == {"n1", "n2"}, 300, "its way")
    page.find("#node-name").send_keys("n1", Keys.ENTER)
    page.expect("#what-if-sentence", "Services would lose one of several nodes", 300)
    assert page.script("return document.querySelectorAll('*').length") < 5000
