"""The harness itself: what it is there to notice, it notices."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from browser import PHONE
from PIL import Image


def written(folder: Path, body: str) -> Path:
    path = folder / "page <1>.html"
    path.write_text(f"<!DOCTYPE html><title>t</title>{body}")
    return path


def test_a_quiet_page_has_nothing_to_report(browser, tmp_path):
    dot = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="
    page = browser.open(written(tmp_path, f'<a id="a" href="#a">A</a><img alt="" src="{dot}">'))
    page.shown.click("a")
    assert page.errors == [] and page.outside == []


def test_errors_of_scripts_and_of_the_console_are_noticed(browser, tmp_path):
    page = browser.open(written(tmp_path, '<script>console.error("told"); nothing_of_this_name()</script>'))
    assert "told" in page.errors and any("nothing_of_this_name" in error for error in page.errors)


def test_what_leaves_the_page_is_noticed(browser, tmp_path):
    (tmp_path / "beside.css").touch()
    body = '<link rel="stylesheet" href="beside.css"><img alt="" src="http://example.invalid/x.png">'
    page = browser.open(written(tmp_path, body))
    assert {address.rpartition("/")[2] for address in page.outside} == {"beside.css", "x.png"}


def test_what_the_policy_of_a_page_stops_is_noticed(browser, tmp_path):
    policy = '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'">'
    page = browser.open(written(tmp_path, policy + '<img alt="" src="http://example.invalid/x.png">'))
    assert any("Content Security Policy" in error for error in page.errors)


def test_keys_reach_the_page_and_pictures_come_out(browser, tmp_path):
    page = browser.open(written(tmp_path, '<button>1</button><button id="b">2</button>'), PHONE)
    page.shown.keyboard.press("Tab")
    page.shown.keyboard.press("Tab")
    assert page.shown.evaluate("document.activeElement.id") == "b"
    assert Image.open(BytesIO(page.screenshot())).width == PHONE
    assert not page.is_wider_than_window()
    assert browser.open(written(tmp_path, '<div style="width: 800px">-</div>'), PHONE).is_wider_than_window()


def test_the_scheme_of_colours_is_chosen(browser, tmp_path):
    path = written(tmp_path, "<meta name='color-scheme' content='light dark'>")
    dark = 'matchMedia("(prefers-color-scheme: dark)").matches'
    assert browser.open(path, dark=True).shown.evaluate(dark) and not browser.open(path).shown.evaluate(dark)
