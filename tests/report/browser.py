"""A headless Chromium for tests of pages; tests that ask for it are skipped where there is none."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def chromium() -> Iterator[Any]:
    """A driver that notes what the console says and what the network is asked for."""
    programs = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    missing = [name for name, path in programs.items() if path is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not found; on Debian: apt-get install chromium chromium-driver")
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed; it is in the extra 'test'")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = programs["chromium"]
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        for argument in (*QUIET, f"--user-data-dir={profile}"):
            options.add_argument(argument)
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(programs["chromedriver"]))
        try:
            yield driver
        finally:
            driver.quit()


def open_page(driver: Any, path: Any, width: int) -> None:
    """Opens a file on a screen of so many pixels across."""
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    driver.get_log("browser"), driver.get_log("performance")  # what went before
    driver.get(path.as_uri())


def console_of(driver: Any) -> list[str]:
    return [entry["message"] for entry in driver.get_log("browser")]


def requests_of(driver: Any) -> list[str]:
    """The addresses that the page asked for, itself included and data inside it left out."""
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    asked = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
    own = [each["request"]["url"] for each in asked if each["documentURL"] == driver.current_url]
    return [address for address in own if not address.startswith("data:")]
