"""The tab in a real browser."""

import re

VIEWS = (
    "Overview",
    "Weight gradients",
    "Attributions",
    "Importance & drift",
    "Training rows beside probe",
    "Predictions",
    "Mappings",
)
FRAME = "iframe[src*='name=keras_xai']"
SECOND = 1000
# A visitor who has seen the tour; a frame of no origin has no storage.
TOUR_SEEN = "try { localStorage.setItem('keras_xai.tour', 'seen') } catch {}"


class Tab:
    """A page on the tab, and everything it complained about or asked of another host.

    `hosted` is the tab inside TensorBoard's own page, which takes seconds to stand; without it the page is the frame
    that TensorBoard would show. `index` answers in place of the server where the page asks for the list of runs. Without
    `tour` the visitor has seen the tour of the first visit.
    """

    def __init__(self, browser, url, hosted=False, index=None, tour=False):
        self.page, self.hosted = browser.new_page(viewport={"width": 1280, "height": 800}), hosted
        if not tour:
            self.page.add_init_script(TOUR_SEEN)
        if index is not None:
            self.page.route(re.compile(r"/keras_xai/index(\?|$)"), index)
        self.page.set_default_timeout(20 * SECOND)
        self.complaints, self.abroad = [], []
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self._asked(request.url, url))
        self.url = url
        self.open()

    def _heard(self, message):
        # The bare frame has no icon; the browser asks for one all the same.
        if message.type == "error" and "favicon" not in message.location.get("url", ""):
            self.complaints.append(message.text)

    def _asked(self, asked, url):
        if not asked.startswith((url, "blob:", "data:")):
            self.abroad.append(asked)

    def open(self):
        if self.hosted:
            self.page.goto(f"{self.url}/#keras_xai")
            self.page.reload()  # a change of the hash alone loads nothing
            self.frame = self.page.frame_locator(FRAME)
        else:
            self.page.goto(f"{self.url}/data/plugin_entry.html?name=keras_xai")
            self.frame = self.page
        self.frame.locator("main .grid, main .empty").first.wait_for()

    def show(self, view):
        self.frame.get_by_role("tab", name=view).click()

    def focus(self, run):
        self.frame.locator(f".runs [data-key='focus {run}']").click()

    def key(self, *keys):
        """Keys with the focus on nothing in particular."""
        self.frame.locator("body").evaluate("() => document.activeElement?.blur()")
        for key in keys:
            self.frame.locator("body").press(key)

    @property
    def epoch(self):
        return int(self.frame.locator(".transport svg[role=slider]").get_attribute("aria-valuenow"))

    def drawn(self, count):
        """Waits until so many charts stand."""
        self.frame.locator(".chart .main-svg >> nth=0").wait_for()
        self.frame.locator(f".chart .plot-container >> nth={count - 1}").wait_for()

    def rest(self):
        """Waits until the page has asked for nothing but news for half a second."""
        asked = []
        self.page.on(
            "request", lambda request: asked.append(request.url) if not request.url.endswith("/index") else None
        )
        seen = -1
        while len(asked) > seen:
            seen = len(asked)
            self.page.wait_for_timeout(500)

    def quiet(self):
        assert self.complaints == []
        assert self.abroad == []
