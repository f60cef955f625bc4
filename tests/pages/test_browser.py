"""The page in a headless Chromium: tables, charts, dialogs, keyboard, a phone's width, and no network."""

import json
import shutil
from types import SimpleNamespace

import pytest

from bofl_jax.pages import report
from bofl_jax.pages.fill import render_page
from bofl_jax.pages.run import group_data
from bofl_jax.results import read_run
from bofl_jax.runs.audit_report import AuditReport, shorten_digests
from tests.figures.grouped import add_groups
from tests.pages.files import SUBJECTS, data_of, write_explanations, write_sweep

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.wait import WebDriverWait  # noqa: E402

FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1200,900")


@pytest.fixture(scope="module")
def chromium():
    binary = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not (binary and driver):
        pytest.skip("needs chromium and chromedriver (Debian: apt-get install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield browser
    browser.quit()


@pytest.fixture(scope="module")
def pages(run_directory, tmp_path_factory):
    """Pages: of a run, the same explained, a sweep, a run of 10 000 clients, and one with groups of people."""
    folder = tmp_path_factory.mktemp("browser")
    explained = shutil.copytree(run_directory, folder / "run")
    write_explanations(explained)
    run = report(run_directory, folder / "run.html")
    data = data_of(run)
    many = [data["clients"][0] | {"client": f"c{index}", "global_accuracy": index / 1e4} for index in range(10_000)]
    (folder / "many.html").write_text(render_page(data | {"clients": many}))
    add_groups(shutil.copytree(run_directory, folder / "grouped"))
    groups = group_data(read_run(folder / "grouped").summary.fairness)
    (folder / "grouped.html").write_text(render_page(data | {"groups": groups}))
    return SimpleNamespace(
        run=run,
        explained=report(explained),
        sweep=report(write_sweep(folder / "sweep")),
        many=folder / "many.html",
        grouped=folder / "grouped.html",
        data=data,
    )


@pytest.fixture
def opened(chromium, pages):
    """Open a page; whatever a test does with it, nothing may have gone wrong or over the network."""

    def open_(name, width=1200):
        screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        chromium.get(getattr(pages, name).as_uri())
        return chromium

    yield open_
    assert chromium.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert chromium.get_log("browser") == []
    assert "harm" not in chromium.title


def all_of(browser, css):
    return browser.find_elements(By.CSS_SELECTOR, css)


def one(browser, css):
    return browser.find_element(By.CSS_SELECTOR, css)


def column(browser, table, place):
    script = "return [...document.querySelectorAll(arguments[0])].map((cell) => cell.textContent)"
    return browser.execute_script(script, f"{table} tbody tr > :nth-child({place})")


def header(browser, section, key):
    return one(browser, f"{section} th[data-key='{key}'] button")


def sorts(browser, section, key):
    return one(browser, f"{section} th[data-key='{key}']").get_attribute("aria-sort")


def active_text(browser):
    return browser.execute_script("return document.activeElement.textContent")


def test_tables_sort_by_numbers_both_ways(opened, pages):
    browser = opened("run")
    assert column(browser, "#clients", 1) == [client["client"] for client in pages.data["clients"]]
    header(browser, "#clients", "n_test").click()
    rising = sorted(pages.data["clients"], key=lambda client: client["n_test"])
    assert column(browser, "#clients", 1) == [client["client"] for client in rising]
    assert sorts(browser, "#clients", "n_test") == "ascending"
    header(browser, "#clients", "n_test").click()
    falling = sorted(pages.data["clients"], key=lambda client: -client["n_test"])
    assert column(browser, "#clients", 1) == [client["client"] for client in falling]
    header(browser, "#clients", "label_divergence").click()
    assert sorts(browser, "#clients", "n_test") == "none"


@pytest.mark.parametrize("key", [Keys.ENTER, Keys.SPACE])
def test_headers_work_by_keyboard(opened, pages, key):
    browser = opened("run")
    header(browser, "#classes", "samples").send_keys(key)
    support = sorted(row["samples"] for row in pages.data["per_class"])
    assert column(browser, "#classes", 2) == [f"{count:,}" for count in support]
    assert sorts(browser, "#classes", "samples") == "ascending"


def test_groups_of_people_stand_class_by_class(opened):
    browser = opened("grouped")
    assert column(browser, "#groups", 2) == ["F", "M"] * 3
    rows = data_of_page(browser)["groups"]["rows"]
    assert column(browser, "#groups", 4) == [f"{row['samples']:,}" for row in rows]
    assert "People are grouped by sex." in one(browser, "#groups p").text
    assert not all_of(opened("run"), "#groups")


def data_of_page(browser):
    return json.loads(one(browser, "#data").get_attribute("textContent"))


def test_tables_filter(opened):
    browser = opened("run")
    box = one(browser, "#clients input")
    box.send_keys("o'brien")
    assert column(browser, "#clients", 1) == ["O'Brien & <b>sons</b>"]
    assert one(browser, "#clients .count").text == "1 of 6 rows match"
    box.send_keys(Keys.CONTROL, "a", Keys.NULL, Keys.DELETE)
    assert len(column(browser, "#clients", 1)) == len(SUBJECTS)


def test_names_are_shown_as_they_are_written(opened):
    browser = opened("run")
    assert column(browser, "#clients", 1) == list(SUBJECTS)
    assert all_of(browser, "main img, main h1, #clients script") == []


@pytest.mark.parametrize("client", [0, 4])
def test_a_client_opens_its_provenance_and_escape_closes_it(opened, run_directory, client):
    browser = opened("run")
    opener = all_of(browser, "#clients tbody button")[client]
    opener.click()
    assert one(browser, "#dialog").get_attribute("open")
    assert one(browser, "#dialog h2").text.split() == f"Client {SUBJECTS[client]}".split()  # the browser joins spaces
    history = AuditReport(run_directory).client_history(SUBJECTS[client])
    table = "#dialog .scroll[aria-label='Table of events']"
    assert column(browser, table, 3) == [row["what"] for row in history]
    assert column(browser, table, 4) == [shorten_digests(row["particulars"]) or "\u2013" for row in history]
    browser.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert not one(browser, "#dialog").get_attribute("open")
    assert active_text(browser) == SUBJECTS[client]


def test_the_dialog_by_keyboard_alone(opened):
    browser = opened("run")
    all_of(browser, "#clients tbody button")[1].send_keys(Keys.ENTER)
    assert active_text(browser) == "Close"
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert not one(browser, "#dialog").get_attribute("open")


def test_a_round_lists_its_contributors(opened, run_directory):
    browser = opened("run")
    all_of(browser, "#ledger tbody button")[1].click()
    expected = [SUBJECTS[index] for index in AuditReport(run_directory).rounds()[1]["clients"]]
    assert column(browser, "#dialog", 1) == expected
    all_of(browser, "#dialog tbody button")[0].click()
    assert one(browser, "#dialog h2").text.split() == f"Client {expected[0]}".split()


def test_charts_read_out_values(opened, pages):
    browser = opened("run")
    chart = one(browser, "#rounds figure svg[tabindex]")
    chart.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert one(browser, "#rounds figure output").text == f"Round 2: loss {pages.data['curves']['loss'][1]:.3f}"
    webdriver.ActionChains(browser).move_to_element_with_offset(chart, 250, 0).perform()
    WebDriverWait(browser, 10).until(lambda page: one(page, "#rounds figure output").text.startswith("Round 4: loss"))


def test_beats_or_how_to_make_them(opened):
    browser = opened("run")
    assert "evaluate.explain = N" in one(browser, "#beats").text
    browser = opened("explained")
    assert len(all_of(browser, "#beats figure")) == 3
    assert len(all_of(browser, "#beats figure:first-child .trace")) == 2  # leads
    assert all_of(browser, "#beats rect.for")
    assert all_of(browser, "#beats rect.against")
    assert SUBJECTS[0] in one(browser, "#beats figcaption").text


@pytest.mark.parametrize("name", ["explained", "sweep", "many"])
def test_a_phone_scrolls_one_way_only(opened, name):
    browser = opened(name, width=375)
    assert browser.execute_script("return document.documentElement.scrollWidth") == 375
    if name != "sweep":
        one(browser, "#clients tbody button").click()
        assert browser.execute_script("return arguments[0].scrollWidth", one(browser, "#dialog")) < 375


def test_ten_thousand_clients(opened):
    browser = opened("many")
    assert len(column(browser, "#clients", 1)) == 200
    assert one(browser, "#clients .count").text == "10,000 rows, the first 200 are shown"
    more, everyone = all_of(browser, "#clients .tools button")
    more.click()
    assert len(column(browser, "#clients", 1)) == 400
    header(browser, "#clients", "global_accuracy").click()
    header(browser, "#clients", "global_accuracy").click()
    assert column(browser, "#clients", 1)[0] == "c9999"
    everyone.click()
    assert len(column(browser, "#clients", 1)) == 10_000
    assert not more.is_displayed()


def test_a_focused_button_can_be_seen(opened):
    browser = opened("run")
    style = "return getComputedStyle(document.activeElement).outlineStyle"
    browser.switch_to.active_element.send_keys(Keys.TAB, Keys.TAB)
    assert active_text(browser) == "Results"
    assert browser.execute_script(style) == "solid"


def test_dark_and_light(opened):
    browser = opened("run")
    colour = "return getComputedStyle(document.body).backgroundColor"
    seen = []
    for scheme in ("light", "dark"):
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        seen.append(browser.execute_script(colour))
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert seen == ["rgb(255, 255, 255)", "rgb(21, 24, 28)"]


@pytest.mark.parametrize("name", ["explained", "sweep"])
def test_paper_holds_everything(opened, name):
    browser = opened(name, width=794)  # A4 at 96 dots an inch
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    wide = browser.execute_script("return document.documentElement.scrollWidth")
    shown = [box.is_displayed() for box in all_of(browser, ".tools, nav")]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert wide <= 794
    assert not any(shown)


def test_a_sweep_draws_what_is_chosen(opened):
    browser = opened("sweep")
    measure, against, by = all_of(browser, "#chart select")
    assert against.get_attribute("value") == "partition.alpha"
    assert by.get_attribute("value") == "federation.algorithm"
    assert [item.text for item in all_of(browser, "#chart .legend li")] == [
        "federation.algorithm = fedavg",
        "federation.algorithm = <b>ditto</b>",
    ]
    measure.send_keys("test.global")
    by.send_keys("none")
    one(browser, "#chart svg[tabindex]").send_keys(Keys.ARROW_RIGHT)
    assert one(browser, "#chart output").text == "partition.alpha = 2: mean 0.56 of 6"  # of .50 .51 .52 .60 .61 .62


def test_the_table_of_a_sweep(opened):
    browser = opened("sweep")
    header(browser, "#members", "partition.alpha").click()
    header(browser, "#members", "partition.alpha").click()
    assert column(browser, "#members", 3) == ["10"] * 6 + ["2"] * 6
    header(browser, "#members", "test.global.accuracy").click()
    assert column(browser, "#members", 1)[0] == "m0-0"
    header(browser, "#members", "test.global.accuracy").click()
    assert column(browser, "#members", 1)[-1] == "m3-2"  # what is missing comes last, whichever way
    one(browser, "#members input[type='search']").send_keys("<lower>")
    assert column(browser, "#members", 5) == ["failed"]
