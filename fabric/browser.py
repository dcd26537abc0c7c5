"""Debian's Chromium on a host, for what a person sees of the page.

It runs in the namespace of the host, so it can reach nothing but the program there.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import ActionChains, ChromeOptions, Remote
from selenium.webdriver.chrome.remote_connection import ChromeRemoteConnection
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.client_config import ClientConfig
from selenium.webdriver.remote.webelement import WebElement

from fabric import FabricError, Host, inside, wait_for

_PORT = 9515
_WIDEST_PHONE = 600
_ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",  # it runs as root
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--hide-scrollbars",
    "--force-device-scale-factor=1",
)
SECONDS = 30.0  # for what is seen within a second on a machine that does nothing else


class _Connection(ChromeRemoteConnection):
    """A connection to the driver in the namespace of a host."""

    def __init__(self, host: Host) -> None:
        self._host = host
        address = f"http://127.0.0.1:{_PORT}"
        config = ClientConfig(remote_server_addr=address, timeout=120)
        super().__init__(remote_server_addr=address, client_config=config)

    def execute(self, command: str, params: dict[str, Any]) -> Any:
        """Sends a command; sockets that this opens are those of the host."""
        with inside(self._host):
            return super().execute(command, params)  # type: ignore[no-untyped-call]


class Browser:
    """A window with one page.  Raises FabricError if Chromium is not installed."""

    def __init__(self, host: Host) -> None:
        paths = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
        missing = {"chromium": "chromium", "chromedriver": "chromium-driver"}
        for name, path in paths.items():
            if path is None:
                package = missing[name]
                text = f"{name} is missing: apt-get install {package} (scripts/install-tools does)"
                raise FabricError(f"the page is tested in Chromium, and {text}")
        folder = host.folder / "chromium"
        folder.mkdir(exist_ok=True)
        environment = {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "TZ": "UTC"}
        driver = [str(paths["chromedriver"]), f"--port={_PORT}"]
        host.spawn(driver, "chromedriver.log", environment)
        listening = f"ss -Hltn sport = :{_PORT}"
        wait_for(lambda: host.run(listening), bool, SECONDS, "chromedriver to listen")
        options = ChromeOptions()
        options.binary_location = str(paths["chromium"])
        for argument in (*_ARGUMENTS, f"--user-data-dir={folder}/profile"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = Remote(command_executor=_Connection(host), options=options)

    def close(self) -> None:
        """Ends Chromium; its driver ends with the host."""
        self.driver.quit()

    def open(self, url: str) -> None:
        """Loads a page."""
        self.driver.get("about:blank")  # a new fragment alone would load nothing
        self.driver.get(url)

    def cdp(self, command: str, **parameters: Any) -> Any:
        """A command of the Chrome DevTools Protocol."""
        arguments = {"cmd": command, "params": parameters}
        return self.driver.execute("executeCdpCommand", arguments)["value"]

    def complaints(self) -> list[str]:
        """What the browser reported as wrong since this was called last."""
        entries = self.driver.execute("getLog", {"type": "browser"})["value"]
        return [str(entry["message"]) for entry in entries if entry["level"] == "SEVERE"]

    def size(self, width: int, height: int) -> None:
        """Sets the size of the visible part of the page, in CSS pixels."""
        self.cdp(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width <= _WIDEST_PHONE,
        )

    def media(self, **features: str) -> None:
        """Emulates media features, such as prefers_color_scheme="dark"."""
        found = [{"name": k.replace("_", "-"), "value": v} for k, v in features.items()]
        self.cdp("Emulation.setEmulatedMedia", features=found)

    def script(self, text: str, *arguments: Any) -> Any:
        """The result of JavaScript in the page."""
        return self.driver.execute_script(text, *arguments)

    def find(self, selector: str) -> WebElement:
        """The first element that a CSS selector selects."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def click(self, selector: str) -> None:
        """Clicks on the first element that a selector selects: on the one that took its place if
        the page was drawn anew meanwhile."""

        def clicked() -> bool:
            try:
                self.find(selector).click()
            except StaleElementReferenceException:
                return False
            return True

        wait_for(clicked, bool, SECONDS, f"a click on {selector}")

    def press(self, *keys: str) -> None:
        """Presses keys, for whatever has the focus by then."""
        ActionChains(self.driver).send_keys(*keys).perform()

    def text(self, selector: str) -> str:
        """The text that can be seen of an element; empty if there is none."""
        found = (
            "const e = document.querySelector(arguments[0]);"
            "return e ? e.innerText ?? e.textContent : ''"  # a drawing has no innerText
        )
        return str(self.script(found, selector))

    def texts(self, selector: str) -> list[str]:
        """The texts that can be seen of all elements that a selector selects."""
        found = (
            "return [...document.querySelectorAll(arguments[0])]"
            ".map((e) => e.innerText ?? e.textContent)"
        )
        return [str(text) for text in self.script(found, selector)]

    def expect(self, selector: str, part: str, seconds: float = SECONDS) -> str:
        """Waits until the visible text of an element has a part; returns the text."""
        what = f"{selector} to say {part!r}"
        return wait_for(lambda: self.text(selector), lambda seen: part in seen, seconds, what)

    def screenshot(self, path: Path, selector: str = "") -> None:
        """Writes a picture of the visible part of the page; with a selector it is scrolled to."""
        if selector:
            self.script("document.querySelector(arguments[0]).scrollIntoView()", selector)
        path.write_bytes(self.driver.get_screenshot_as_png())
