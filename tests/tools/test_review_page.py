from __future__ import annotations

import os

import numpy as np
import pytest
from browser import PHONE
from conftest import draw
from PIL import Image

from dogcat.cleaning.suspects import Suspect
from dogcat.pictures import folders, labels
from dogcat.pictures.geometry import MAX_PIXELS
from tools.pages import review_page

ODD_NAMES = ["cat.0.jpg", "dog.1.jpg", 'cat."<b>\n&.2.jpg', os.fsdecode(b"dog.\xff.3.jpg"), "cat.gone.jpg"]
CLASSES = ["cat", "dog"]


def page(folder, output, names, suggestion="drop"):
    """Writes a review of these names, the first one among the alike of each; returns its path."""
    suspects = [
        Suspect(name, "neither", 0.9, "<script>alert(1)</script>", suggestion, False, [names[0]]) for name in names
    ]
    label_of = {name: name.split(".")[0] for name in names}
    output.write_bytes(review_page.render(folder, suspects, "Some.", label_of, CLASSES, "cat.9.jpg\n", MAX_PIXELS, 2))
    return output


@pytest.fixture
def review(tmp_path):
    draw(tmp_path / "in", *ODD_NAMES[:-1], "cat.9.jpg")
    return page(tmp_path / "in", tmp_path / "review.html", ODD_NAMES)


def texts(shown):
    return shown.locator("#suspects li").evaluate_all("items => items.map(item => item.dataset.choice || '')")


def downloaded(shown, button) -> bytes:
    with shown.expect_download() as waiting:
        shown.locator(button).click()
    return waiting.value.path().read_bytes()


def test_keys_decide_choices_stay_and_the_files_go_to_the_shard_tool(browser, review, tmp_path):
    opened = browser.open(review)
    shown = opened.shown
    assert shown.locator("#suspects li").count() == len(ODD_NAMES)
    # The first one is kept, the second gets another class, the next two are dropped, the last one is left open.
    for key in ("k", "r", "ArrowRight", "d", "d", "ArrowLeft", "p", "n", "ArrowRight"):
        shown.keyboard.press(key)
    chosen = ["keep", "relabel cat", "drop", "drop", ""]
    assert texts(shown) == chosen
    assert shown.locator("#count").inner_text() == "1 to decide, 1 kept, 2 dropped, 1 relabelled"
    shown.reload()
    assert texts(shown) == chosen
    (tmp_path / "exclude.txt").write_bytes(downloaded(shown, "#exclude"))
    (tmp_path / "labels.csv").write_bytes(downloaded(shown, "#labels"))
    listing = folders.list_images(tmp_path / "in")
    assert set(listing.keys) - set(labels.exclude(tmp_path / "exclude.txt", listing).keys) == {
        *ODD_NAMES[2:4],
        "cat.9.jpg",
    }
    assert labels.read_labels(tmp_path / "labels.csv", listing) == {"dog.1.jpg": "cat"}
    assert (opened.errors, opened.outside) == ([], [])


def test_buttons_do_the_same_and_a_choice_can_be_taken_back(browser, review):
    opened = browser.open(review, width=PHONE)
    shown = opened.shown
    assert not opened.is_wider_than_window()
    drop = shown.locator("#suspects li").first.locator("[data-choose=drop]")
    drop.click()
    assert drop.get_attribute("aria-pressed") == "true" and texts(shown)[0] == "drop"
    drop.click()
    assert texts(shown) == [""] * len(ODD_NAMES)
    shown.locator("#suggested").click()
    assert texts(shown) == ["drop"] * len(ODD_NAMES)
    shown.keyboard.press("u")
    assert texts(shown).count("") == 1
    shown.on("dialog", lambda dialog: dialog.accept())
    shown.locator("#forget").click()
    assert texts(shown) == [""] * len(ODD_NAMES)
    shown.reload()
    assert texts(shown) == [""] * len(ODD_NAMES)
    assert opened.errors == []


def test_another_review_begins_without_choices(browser, review, tmp_path):
    opened = browser.open(review)
    opened.shown.keyboard.press("d")
    page(tmp_path / "in", review, ODD_NAMES[1:])
    opened.shown.reload()
    assert set(texts(opened.shown)) == {""}


def test_nothing_from_outside_runs(browser, review):
    opened = browser.open(review)
    assert opened.shown.locator("#suspects script, #suspects b").count() == 0
    assert "<script>alert(1)</script>" in opened.shown.locator("#suspects li").first.inner_text()
    assert "\\xff" in opened.shown.locator("#suspects li").nth(3).inner_text()
    # The policy lets the page's own script run and no other.
    opened.shown.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {text: 'var ran = 1'}))"
    )
    assert opened.shown.evaluate("typeof ran") == "undefined"


def test_500_suspects_stay_quick(browser, tmp_path):
    generator = np.random.default_rng(0)
    names = [f"{name}.{i}.jpg" for i in range(250) for name in CLASSES]
    (tmp_path / "in").mkdir()
    for name in names:
        noise = Image.fromarray(generator.integers(0, 255, (8, 10, 3), np.uint8))
        noise.resize((500, 400)).save(tmp_path / "in" / name, "JPEG")
    opened = browser.open(page(tmp_path / "in", tmp_path / "review.html", names))
    assert (tmp_path / "review.html").stat().st_size < 12 * 2**20
    took = opened.shown.evaluate(
        """() => { const begun = performance.now();
        for (let i = 0; i < 50; i++) document.dispatchEvent(new KeyboardEvent('keydown', {key: 'd'}));
        return performance.now() - begun; }"""
    )
    assert texts(opened.shown)[:51] == ["drop"] * 50 + [""]
    # Measured 0.1 s for 50 decisions on a busy machine.
    assert took < 5000
