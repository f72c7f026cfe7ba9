"""The documentation page, as a browser loads it."""

import re
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import httpx
import pytest

from tests.unit.gateway.world import World

PAGE = "http://test/docs"
ASSETS = ["swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"]


class _Links(HTMLParser):
    """The URLs of all that the elements of a page load, and the text of its scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.urls: list[str] = []
        self.scripts: list[str] = []
        self._in_script = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_script = tag == "script"
        self.urls += [value for name, value in attrs if name in {"src", "href", "srcset", "action", "data"} and value]

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.scripts.append(data)


@pytest.fixture
async def page(world: World) -> httpx.Response:
    async with world.client() as client:
        return await client.get(PAGE)


async def test_the_page_is_html(page: httpx.Response) -> None:
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")


async def test_all_that_the_page_loads_is_on_its_own_host(world: World, page: httpx.Response) -> None:
    links = _Links(page.text)
    documents = re.findall(r"\burl: '([^']*)'", "".join(links.scripts))
    assert {f"docs/{name}" for name in ASSETS} == set(links.urls)
    assert documents == ["openapi.json"]

    async with world.client() as client:
        for url in (urljoin(PAGE, each) for each in links.urls + documents):
            assert urlsplit(url).netloc == "test"
            answer = await client.get(url)
            assert (answer.status_code, bool(answer.content)) == (200, True), url


async def test_the_page_works_under_the_path_of_a_proxy(page: httpx.Response) -> None:
    urls = _Links(page.text).urls
    assert urls
    for url in urls:
        assert urljoin("https://plant.example/factory/docs", url).startswith("https://plant.example/factory/docs/")


async def test_no_foreign_host_is_named(page: httpx.Response) -> None:
    assert not re.findall(r"(?:https?:)?//[\w.-]+\.\w", page.text)
    assert not re.findall(r"https?:", page.text)


async def test_the_styles_load_nothing_from_elsewhere(world: World) -> None:
    async with world.client() as client:
        styles = (await client.get("http://test/docs/swagger-ui.css")).text

    assert "@import" not in styles
    assert {url.strip("\"'")[:5] for url in re.findall(r"url\((.{6})", styles)} == {"data:"}


async def test_scripts_may_load_nothing_from_elsewhere(page: httpx.Response) -> None:
    """The bundle would ask validator.swagger.io for a badge, unless it is told not to; the browser forbids the rest."""
    assert '"validatorUrl": null' in page.text
    assert page.headers["content-security-policy"] == "default-src 'self' 'unsafe-inline' data:"


async def test_an_asset_is_loaded_once(world: World) -> None:
    async with world.client() as client:
        url = "http://test/docs/swagger-ui.css"
        tag = (await client.get(url)).headers["etag"]
        assert (await client.get(url, headers={"If-None-Match": tag})).status_code == 304


@pytest.mark.parametrize(
    "file", ["nothing.js", "%2e%2e%2fcore.py", "%2fetc%2fpasswd", "..%5ccore.py", "%00", "x" * 5000]
)
async def test_only_the_assets_are_served(world: World, file: str) -> None:
    async with world.client() as client:
        answer = await client.get(f"http://test/docs/{file}")

    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


@pytest.mark.parametrize("path", ["/docs", *(f"/docs/{name}" for name in ASSETS)])
async def test_the_page_is_only_read(world: World, path: str) -> None:
    async with world.client() as client:
        head = await client.head(f"http://test{path}")
        answer = await client.post(f"http://test{path}")

    assert (head.status_code, head.content) == (200, b"")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
