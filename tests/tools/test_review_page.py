from __future__ import annotations

import os

import numpy as np
import pytest
from browser import DESKTOP, PHONE
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
    return write(
        folder,
        output,
        [Suspect(name, "neither", 0.9, "<script>alert(1)</script>", suggestion, False, [names[0]]) for name in names],
    )


def write(folder, output, suspects):
    """Writes a review of these suspects; returns its path."""
    names = [one.path for one in suspects]
    label_of = {name: name.split(".")[0] for name in names}
    after = ("Save them. Then:", "make it")
    shown = review_page.render(folder, suspects, "Some.", label_of, CLASSES, "cat.9.jpg\n", after, MAX_PIXELS, 2)
    output.write_bytes(shown)
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
    shown.locator("#preview button[value=accept]").click()
    assert texts(shown) == ["drop"] * len(ODD_NAMES)
    shown.keyboard.press("u")
    assert texts(shown).count("") == 1
    shown.on("dialog", lambda dialog: dialog.accept())
    shown.locator("#forget").click()
    assert texts(shown) == [""] * len(ODD_NAMES)
    shown.reload()
    assert texts(shown) == [""] * len(ODD_NAMES)
    assert opened.errors == []


@pytest.fixture
def mixed(tmp_path):
    """A review of suspects of several kinds and suggestions."""
    draw(tmp_path / "in", *(f"cat.{number}.jpg" for number in range(6)), size=(400, 300))
    given = [
        ("neither", "drop", ""),
        ("neither", "probably fine", ""),
        ("wrong label", "relabel dog", "dog"),
        ("wrong label", "look", "dog"),
        ("tiny", "drop", ""),
        ("neither", "look", ""),
    ]
    suspects = [
        Suspect(f"cat.{number}.jpg", kind, 0.5, "why", suggestion, False, ["cat.0.jpg"], looks_like)
        for number, (kind, suggestion, looks_like) in enumerate(given)
    ]
    return write(tmp_path / "in", tmp_path / "review.html", suspects)


def test_accepting_the_rest_tells_first_what_it_does_and_leaves_what_is_fine(browser, mixed):
    opened = browser.open(mixed)
    shown = opened.shown
    shown.keyboard.press("k")
    shown.locator("#suggested").click()
    said = shown.locator("#preview p").inner_text()
    assert said.startswith("Of the 5 to decide, this would drop 1 and relabel 1. For the other 3 no change is")
    shown.keyboard.press("Escape")
    assert texts(shown) == ["keep"] + [""] * 5
    shown.locator("#suggested").click()
    shown.locator("#preview button[value=accept]").click()
    assert texts(shown) == ["keep", "", "relabel dog", "", "drop", ""]
    assert opened.errors == []


def test_kinds_are_filtered_and_keys_pass_over_what_is_hidden(browser, mixed):
    shown = browser.open(mixed).shown
    assert shown.locator("#kinds button").all_inner_texts() == ["neither 3", "wrong label 2", "tiny 1"]
    shown.locator("#kinds [data-kind=neither]").click()
    visible = shown.locator("#suspects li:visible h2").all_inner_texts()
    assert visible == ["3. cat.2.jpg", "4. cat.3.jpg", "5. cat.4.jpg"]
    for key in ("d", "r", "ArrowRight", "d", "d"):
        shown.keyboard.press(key)
    # The last one was chosen twice, since there is no further one.
    assert texts(shown) == ["", "", "drop", "relabel dog", "drop", ""]
    shown.locator("#suggested").click()
    assert "drop 1 and relabel 0 (1 of them of a kind that is not shown)" in shown.locator("#preview p").inner_text()


def test_a_click_enlarges_a_picture_and_keys_wait_for_it(browser, mixed):
    opened = browser.open(mixed)
    shown = opened.shown
    small = shown.locator("#suspects .shown img").nth(1)
    small.click()
    large = shown.locator("#large img")
    assert large.is_visible() and large.bounding_box()["height"] > 2 * small.bounding_box()["height"]
    # Enough pixels for it, where there are few suspects.
    assert large.evaluate("image => image.naturalWidth") == 400
    shown.keyboard.press("d")
    assert set(texts(shown)) == {""}
    shown.keyboard.press("Escape")
    assert not large.is_visible()
    shown.keyboard.press("d")
    assert texts(shown)[1] == "drop" and opened.errors == []


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_the_bar_stays_in_sight_and_the_page_says_where_its_files_go(browser, mixed, width):
    opened = browser.open(mixed, width)
    shown = opened.shown
    shown.evaluate("scrollTo(0, document.body.scrollHeight)")
    bar = shown.locator(".bar").bounding_box()
    assert abs(bar["y"]) < 1 and bar["height"] < 260 and shown.evaluate("scrollY") > 0
    assert shown.locator("details pre").inner_text() == "make it" and not opened.is_wider_than_window()


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
