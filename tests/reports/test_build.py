"""The page of a run and the page of several, made from real runs and opened in a real browser."""

from __future__ import annotations

import json
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
import tensorflow as tf
from browser import DESKTOP, PHONE
from conftest import make
from fuzzing import check, full_disk, json_mutations, mutations, tree
from PIL import Image
from small_runs import draw_nothing, save_model, small_run

from dogcat.core.options import InputError
from dogcat.dataset import manifest
from dogcat.evaluation import metrics
from dogcat.library.runs import train_with_page
from dogcat.loading import pipeline, readers
from dogcat.models import gradcam, model_files
from dogcat.reports import build, comparison_page, recipe
from dogcat.training import finished_runs
from tools import make_report
from tools.make_report import ReportOptions

# No slash can be in a name of a file, so no tag can be closed.
KEY = "<img src=x onerror=document.title=1>{}.jpg"
CLASSES = ('"><script>document.title=2<!--', "=1+1", "cat")


def train(tfrecords, runs, **changes):
    """Trains, and makes the page; draws nothing but what is in it, and compiles nothing, which would take longer."""
    with pytest.MonkeyPatch.context() as patch:
        draw_nothing(patch)
        return train_with_page(small_run(tfrecords, runs, jit_compile="off", **changes))


@pytest.fixture(scope="module")
def hostile_run(tmp_path_factory):
    """A run on three classes of small pictures, whose names would do harm as HTML or as a formula."""
    folder = tmp_path_factory.mktemp("hostile")
    random = np.random.default_rng(0)
    for label, name in enumerate(CLASSES):
        (folder / "images" / name).mkdir(parents=True)
        for number in range(12):
            # Noise of a brightness that the classes only half share.
            pixels = random.integers(0, 120 + 60 * label, (32, 32, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "images" / name / KEY.format(number), "PNG")
    make(folder / "images", folder / "tfrecords", validation=0.5)
    return train(folder / "tfrecords", folder / "runs")


@pytest.fixture(scope="module")
def two_runs(tfrecords, tmp_path_factory):
    """Runs on the drawn pictures: the head alone, and an epoch more with layers open."""
    runs = tmp_path_factory.mktemp("runs")
    head = train(tfrecords, runs)
    return head, train(tfrecords, runs, unfreeze_from="conv2", optimizer="sgd", epochs=1)


class Elements(HTMLParser):
    """The tags of a page with their attributes."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


def test_pictures_are_shown_as_validation_showed_them(two_runs, tfrecords, tmp_path, monkeypatch):
    run = shutil.copytree(two_runs[1], tmp_path / "run")
    looked_at = []

    class HeatMaps(gradcam.HeatMaps):
        def __call__(self, pixels, classes):
            looked_at.append(pixels)
            return super().__call__(pixels, classes)

    monkeypatch.setattr(build, "HeatMaps", HeatMaps)
    build.write(run)
    reader = readers.open_split(tfrecords, manifest.load(tfrecords), "validation")
    pictures = next(iter(pipeline.evaluation_dataset(reader, len(reader.labels))))
    stored = {picture.tobytes() for picture in pictures.numpy()}
    assert {pixels.tobytes() for pixels in looked_at[0]} == stored


def assert_quiet(page):
    assert page.errors == [] and page.outside == []
    assert not page.is_wider_than_window()
    assert page.shown.locator("script").count() == 0
    pictures = "[...document.images].filter(i => getComputedStyle(i).display != 'none')"
    assert page.shown.evaluate(f"{pictures}.every(i => i.naturalWidth > 0 && i.alt)")


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
@pytest.mark.parametrize("dark", [False, True])
def test_a_page_is_quiet_whatever_the_names(hostile_run, browser, width, dark):
    page = browser.open(hostile_run / "report.html", width, dark)
    assert_quiet(page)
    assert page.shown.title().startswith('"><script>document.titl…, =1+1 and cat: ')
    headline, text = page.shown.locator("h1").inner_text(), page.shown.locator("body").inner_text()
    assert "right" in headline and text.startswith(headline) and f"Run {hostile_run.name}" in text
    shown = page.shown.locator(".cards .name").all_inner_texts()
    # Of 18 validation pictures each is among the mistakes or the least certain.
    assert len(shown) == 18 and all("<img src=x onerror=" in name for name in shown)
    assert CLASSES[0] in page.shown.locator(".matrix").inner_text()


def test_the_keyboard_leads_through_a_page(hostile_run, browser):
    page = browser.open(hostile_run / "report.html", PHONE)
    page.shown.keyboard.press("Tab")
    assert page.shown.evaluate("document.activeElement.textContent") == "Right and wrong"
    page.shown.keyboard.press("Enter")
    assert page.shown.url.endswith("#confusions")
    # What is wider than the window is reached too; a browser's arrow keys move what has the focus.
    for _ in range(100):
        page.shown.keyboard.press("Tab")
        if page.shown.evaluate("document.activeElement.innerText.includes('Every epoch')"):
            break
    reached = page.shown.locator("*:focus")
    assert reached.get_attribute("class") == "wide"
    assert reached.evaluate("table => getComputedStyle(table).overflowX") == "auto"
    assert reached.evaluate("table => table.scrollWidth > table.clientWidth")


def test_on_a_phone_panels_stack_and_the_first_column_stays(two_runs, browser):
    beside, below = (browser.open(two_runs[1] / "report.html", width).shown for width in (DESKTOP, PHONE))
    places = "[...document.querySelectorAll('#training ~ figure .panels > div')].map(p => p.getBoundingClientRect())"
    for shown, axis in ((beside, "x"), (below, "y")):
        first, second = shown.evaluate(places)[:2]
        assert first[axis] < second[axis] and (axis == "y" or first["y"] == second["y"])
        assert second["right"] <= shown.evaluate("innerWidth")
    table = below.locator(".wide", has_text="Every epoch")
    moved, cell, edge = table.evaluate(
        """table => { table.scrollLeft = 1000;
        const cell = table.querySelector("tbody td").getBoundingClientRect();
        return [table.scrollLeft, cell.left, table.getBoundingClientRect().left]; }"""
    )
    assert moved > 100 and cell == edge


def test_a_click_on_a_command_takes_it_as_it_is_typed(two_runs, browser):
    page = browser.open(two_runs[1] / "report.html", PHONE)
    command = page.shown.locator(".copy").last
    command.click()
    assert page.shown.evaluate("getSelection().toString()") == recipe.command(finished_runs.read(two_runs[1]))
    assert not page.is_wider_than_window()


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_the_page_of_several_runs_is_quiet(two_runs, browser, tmp_path, width):
    (tmp_path / "page.html").write_bytes(build.compare(two_runs, ""))
    page = browser.open(tmp_path / "page.html", width)
    assert_quiet(page)
    text = page.shown.locator("main").inner_text()
    assert all(run.name in text for run in two_runs)
    assert "tell" in text and "--unfreeze_from" in text and "--batch_size" not in text


def test_runs_with_other_views_are_compared_on_the_same_one(two_runs, tfrecords, tmp_path, monkeypatch):
    plain = two_runs[0]
    magnified = shutil.copytree(plain, tmp_path / "run")
    # As version 0.2.0 left one: validated on magnified pictures, so with other logits.
    config = json.loads((magnified / "config.json").read_text())
    config["options"]["magnify"] = 0.5
    (magnified / "config.json").write_text(json.dumps(config))
    kept = np.load(magnified / finished_runs.VALIDATION_LOGITS) + np.float32(0.5)
    np.save(magnified / finished_runs.VALIDATION_LOGITS, kept)
    given = []
    monkeypatch.setattr(comparison_page, "render", lambda scored, drawn: given.append(scored) or b"")
    build.compare([plain, magnified], "")
    build.compare([magnified, magnified], "")
    mixed, alone = given
    assert [one.view for one in mixed] == ["pictures as they are stored"] * 2
    assert mixed[1].validated_on == "pictures magnified about their middle" == alone[0].view
    of_view = [one.predictions.log_probabilities[0] for one in (mixed[1], alone[1])]
    assert not np.allclose(*of_view) and np.allclose(of_view[1], metrics.log_probabilities(kept), atol=1e-6)
    # What the model says of the pictures as they are.
    reader = readers.open_split(tfrecords, manifest.load(tfrecords), "validation")
    pictures = next(iter(pipeline.evaluation_dataset(reader, len(reader.labels))))
    model, _ = model_files.load(magnified / "best.keras")
    said = model(pictures, training=False).numpy().ravel()[: len(reader.labels)]
    np.testing.assert_allclose(np.exp(of_view[0][:, 1]), said, atol=1e-3)


def test_nothing_of_a_page_comes_from_names(hostile_run):
    page = (hostile_run / "report.html").read_text()
    elements = Elements(page).found
    assert not any(tag == "script" or name.startswith("on") for tag, attributes in elements for name in attributes)
    sources = [attributes["src"] for tag, attributes in elements if "src" in attributes]
    # The spread and the ROC curve, each twice; each picture beside its heat map.
    assert len(sources) == 4 + 2 * 18
    assert all(source.startswith("data:image/") for source in sources)
    assert all(attributes["alt"] for tag, attributes in elements if tag == "img")


def test_a_page_tells_the_figures_of_the_run(two_runs):
    page = (two_runs[1] / "report.html").read_text()
    best = json.loads((two_runs[1] / "summary.json").read_text())["best"]
    assert f"<strong>{best['val_loss']:.4f}</strong>" in page
    for wanted in ("conv2", "Grad-CAM", "tiny", tf.__version__, "waiting", "--unfreeze_from=conv2"):
        assert wanted in page, wanted


def test_the_table_of_pictures_is_harmless_in_a_spreadsheet(hostile_run):
    lines = (hostile_run / "pictures.csv").read_text("utf-8-sig").splitlines()
    assert len(lines) == 19 and lines[0].startswith("picture,class,taken for,")
    assert any(",'=1+1," in line for line in lines) and not any(",=1+1" in line for line in lines)
    losses = [float(line.rsplit(",", 1)[1]) for line in lines[1:]]
    assert losses == sorted(losses, reverse=True)


def test_a_run_without_logits_is_asked_again_and_tells_the_same(two_runs, tmp_path):
    kept = finished_runs.read(two_runs[1])
    shutil.copytree(two_runs[1], tmp_path / "run", symlinks=True)
    (tmp_path / "run" / finished_runs.VALIDATION_LOGITS).unlink()
    assert finished_runs.read(tmp_path / "run").validation_logits(0, 2) is None
    build.write(tmp_path / "run")
    again, before = (
        [float(line.rsplit(",", 1)[1]) for line in (folder / "pictures.csv").read_text("utf-8-sig").splitlines()[1:]]
        for folder in (tmp_path / "run", two_runs[1])
    )
    np.testing.assert_allclose(again, before, rtol=1e-3, atol=1e-4)
    assert len(kept.validation_logits(len(before), 2)) == len(before)


def test_the_command_makes_one_page_or_compares(fork, call, two_runs, tmp_path):
    shutil.copytree(two_runs[0].parent, tmp_path / "runs", symlinks=True)
    first, second = (tmp_path / "runs" / folder.name for folder in two_runs)
    (first / "report.html").unlink()
    done = fork("tools.make_report", first)
    assert (done.code, done.out) == (0, f"wrote {first}/report.html\n")
    assert (first / "report.html").exists()
    done = call("tools.make_report", first, second, tmp_path / "runs" / "latest")
    assert (done.code, done.out) == (0, f"wrote {tmp_path}/runs/comparison.html\n")


def test_a_comparison_replaces_its_own_or_what_was_named(two_runs, tmp_path):
    shutil.copytree(two_runs[0].parent, tmp_path / "runs", symlinks=True)
    runs = ",".join(str(tmp_path / "runs" / folder.name) for folder in two_runs)
    page, named = tmp_path / "runs" / "comparison.html", tmp_path / "named.html"
    for _ in range(2):
        make_report.main(ReportOptions(runs=runs))
    whole = page.read_bytes()
    with full_disk(len(whole) // 2), pytest.raises(OSError) as error:
        make_report.main(ReportOptions(runs=runs))
    assert error.value.filename == str(page) and page.read_bytes() == whole
    page.write_bytes(b"mine")
    named.write_bytes(b"mine")
    with pytest.raises(InputError, match=r"comparison\.html: is in the way"):
        make_report.main(ReportOptions(runs=runs))
    make_report.main(ReportOptions(runs=runs, output=str(named)))
    assert page.read_bytes() == b"mine" and named.read_bytes() == whole
    with pytest.raises(InputError, match="is not a regular file"):
        make_report.main(ReportOptions(runs=runs, output=str(tmp_path)))


@pytest.mark.parametrize("name", ["report.html", "pictures.csv"])
@pytest.mark.parametrize("theirs", ["mine", "link"])
def test_a_file_in_the_pages_place_stays(two_runs, tmp_path, name, theirs):
    run = tmp_path / "run"
    shutil.copytree(two_runs[0], run)
    (run / name).unlink()
    if theirs == "link":
        (run / name).symlink_to(tmp_path / "nowhere")
    else:
        (run / name).write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(InputError, match=f"run/{name}: is in the way"):
        build.write(run)
    assert tree(tmp_path) == before


def test_a_page_of_an_earlier_release_is_replaced(two_runs, tmp_path):
    run = shutil.copytree(two_runs[0], tmp_path / "run")
    (run / "report.html").write_text("<title>Run x</title><footer>Made by dogcat 0.2.0.</footer>")
    build.write(run)
    assert b"Right and wrong" in (run / "report.html").read_bytes()


def test_a_full_disk_leaves_page_and_table_as_they_were(two_runs, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(two_runs[0], run)
    before = tree(run)
    # The table fits, the page does not.
    with full_disk((run / "report.html").stat().st_size // 2), pytest.raises(OSError) as error:
        build.write(run)
    assert error.value.filename == str(run / "report.html")
    assert tree(run) == before


def test_what_is_no_finished_run_is_one_line(two_runs, tmp_path):
    with pytest.raises(InputError, match="no run there"):
        build.write(tmp_path)
    run = tmp_path / "run"
    shutil.copytree(two_runs[0], run)
    (run / "history.jsonl").write_text("{")
    with pytest.raises(InputError, match="damaged"):
        build.write(run)
    (run / "summary.json").unlink()
    with pytest.raises(InputError, match="not finished"):
        build.write(run)


def test_another_data_set_is_refused(two_runs, hostile_run, tmp_path):
    other = json.loads((hostile_run / "config.json").read_text())["options"]["tfrecords"]
    before = (two_runs[0] / "report.html").read_bytes()
    with pytest.raises(InputError, match="is not the data set that"):
        build.write(two_runs[0], other)
    assert (two_runs[0] / "report.html").read_bytes() == before


def test_a_model_of_other_classes_than_the_run_is_refused(two_runs, tmp_path):
    run = shutil.copytree(two_runs[0], tmp_path / "run", symlinks=True)
    other = save_model(tmp_path / "other.keras", image_size=96, classes=("cat", "owl"))
    other.replace(run / "best.keras")
    with pytest.raises(InputError, match="best.keras: is of other classes .* put the run's own model back"):
        build.write(run)


@pytest.mark.parametrize("count", [5, pytest.param(100, marks=pytest.mark.long)])
@pytest.mark.parametrize("name", ["config.json", "summary.json", "history.jsonl", "validation.npy"])
def test_runs_with_damaged_files_are_compared_or_refused(two_runs, tmp_path, name, count):
    run = shutil.copytree(two_runs[0], tmp_path / "run", symlinks=True)
    path = run / name
    whole = path.read_bytes()

    def compare(data):
        path.write_bytes(data)
        build.compare([run, two_runs[1]], "")

    assert check(compare, mutations(whole, count, seed=11)) > 0
    if name.endswith("json"):
        assert check(compare, json_mutations(json.loads(whole), count, seed=12)) > 0
