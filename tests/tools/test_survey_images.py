from __future__ import annotations

import base64
import csv
import html.parser
import io
import os
from pathlib import Path

import numpy as np
import pytest
from browser import DESKTOP, PHONE
from conftest import contents, draw, make
from fuzzing import full_disk, tree
from PIL import Image, ImageOps

from dogcat.cleaning.options import SurveyOptions
from dogcat.cleaning.survey import Usable
from dogcat.core import outputs, plot_style
from dogcat.core.options import InputError
from dogcat.pictures import folders, labels
from tools import survey_images
from tools.pages import survey_plots

from matplotlib.text import Text

FILES = ["histograms.png", "sizes.png", "survey.csv", "survey.html"]


def survey(images: Path, output: Path, **options):
    return survey_images.survey_images(SurveyOptions(str(images), str(output), workers=2, **options))


def rows(output: Path) -> dict[str, dict[str, str]]:
    """The lines of survey.csv by path."""
    with open(output / "survey.csv", newline="", encoding="utf-8", errors="surrogateescape") as file:
        return {row["path"]: row for row in csv.DictReader(file)}


class Page(html.parser.HTMLParser):
    """What a page holds: the tags with their attributes, and the text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def surveyed(samples, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("survey")
    survey(samples / "train", output)
    return output


@pytest.fixture
def without_plots(monkeypatch) -> None:
    """A survey draws nothing, which takes most of its time."""
    empty = io.BytesIO()
    Image.new("RGB", (9, 9)).save(empty, "PNG")
    for name in ("draw_sizes", "draw_histogram"):
        monkeypatch.setattr(survey_plots, name, lambda *arguments: empty.getvalue())


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_a_browser_shows_the_page_and_has_nothing_to_say(surveyed, browser, width):
    page = browser.open(surveyed / "survey.html", width)
    assert page.errors == [] and page.outside == [] and not page.is_wider_than_window()


def test_every_picture_is_a_line_that_pillow_agrees_with(samples, surveyed):
    found = rows(surveyed)
    assert list(found) == folders.list_images(samples / "train").keys
    usable = 0
    for key, row in found.items():
        path = samples / "train" / key
        assert (row["label"], row["excluded"]) == (key[:3], "0")
        assert int(row["bytes"]) == path.stat().st_size
        if row["reason"]:
            assert row["format"] == row["width"] == row["brightness"] == ""
            continue
        usable += 1
        with Image.open(path) as image:
            assert (row["format"], row["mode"]) == (image.format, image.mode)
            upright = ImageOps.exif_transpose(image)
            assert (int(row["width"]), int(row["height"])) == upright.size
            # Of the other modes conversion to grey is another question.
            if image.mode in ("RGB", "L"):
                assert float(row["brightness"]) == pytest.approx(np.asarray(image.convert("L")).mean(), abs=1)
    assert usable == len(found) - 2


def test_unusable_files_have_the_shard_tools_reasons(samples, surveyed, tmp_path):
    make(samples / "train", tmp_path / "tfrecords")
    with open(tmp_path / "tfrecords" / "rejected.csv", newline="") as file:
        rejected = {row["path"]: (row["reason"], row["detail"]) for row in csv.DictReader(file)}
    unusable = {key: (row["reason"], row["detail"]) for key, row in rows(surveyed).items() if row["reason"]}
    assert unusable == rejected
    assert {reason for reason, _ in rejected.values()} == {"truncated", "not_a_picture"}
    text = Page(surveyed / "survey.html").text
    assert all(key in text and detail in text for key, (_, detail) in rejected.items())


def test_other_faults(without_plots, tmp_path):
    images = draw(tmp_path / "in", "cat.0.jpg", "cat.1.jpg", size=(50, 50))
    (images / "cat.2.jpg").write_bytes(b"")
    (images / "cat.3.jpg").symlink_to(tmp_path / "nowhere")
    Image.new("RGB", (60, 50)).save(images / "cat.4.jpg", "PNG")
    survey(images, tmp_path / "out", max_pixels=2500)
    assert {key: row["reason"] for key, row in rows(tmp_path / "out").items()} == {
        **{"cat.0.jpg": "", "cat.1.jpg": "", "cat.2.jpg": "empty", "cat.3.jpg": "unreadable", "cat.4.jpg": "too_large"}
    }
    assert rows(tmp_path / "out")["cat.3.jpg"]["bytes"] == ""


def test_orientations(without_plots, tmp_path):
    (tmp_path / "in").mkdir()
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.new("RGB", (64, 48)).save(tmp_path / "in" / f"cat.{orientation}.jpg", exif=exif)
    survey(tmp_path / "in", tmp_path / "out")
    for orientation in range(1, 9):
        row = rows(tmp_path / "out")[f"cat.{orientation}.jpg"]
        assert row["orientation"] == str(orientation)
        assert (row["width"], row["height"]) == (("48", "64") if orientation >= 5 else ("64", "48"))


def test_the_command_says_what_it_found(run, samples, tmp_path):
    done = run("tools.survey_images", f"--images={samples}/train", f"--output={tmp_path}/out")
    assert (done.code, done.err) == (0, "")
    facts = {line.split("  ")[0]: line.split("  ")[-1].strip() for line in done.out.splitlines()}
    assert facts["pictures"] == "47 usable, 2 unusable, 0 excluded"
    assert facts["classes"] == "cat 24, dog 23"
    assert facts["formats"] == "JPEG 43, PNG 3, GIF 1"
    assert facts["modes"] == "RGB 42, CMYK 1, I;16 1, L 1, P 1, RGBA 1"
    assert facts["orientations"] == "1 46, 6 1"
    assert facts["unusable"] == "not_a_picture 1, truncated 1"
    assert done.out.splitlines()[-1].endswith(f"python -m tools.make_tfrecords --images={samples}/train")
    assert sorted(os.listdir(tmp_path / "out")) == [outputs.MARKER, *FILES]


def test_the_page_needs_nothing_else_and_tells_figures_in_words(surveyed):
    page = Page(surveyed / "survey.html")
    assert not page.all("script") and not page.all("link")
    plots = [image for image in page.all("img") if "on-light" in image.get("class", "")]
    # Sizes, and a histogram of each of four measures.
    assert len(plots) == 5
    for plot in plots:
        assert plot["src"].startswith("data:image/png;base64,")
        assert "median" in plot["alt"] and "cat and dog" in plot["alt"]
    assert "default-src 'none'" in page.all("meta")[2]["content"]


def test_the_page_leads_with_a_conclusion(surveyed, without_plots, samples, tmp_path):
    text = " ".join(Page(surveyed / "survey.html").text.split())
    assert f"Survey of {samples}/train Ready to train; 2 unusable files" in text
    draw(tmp_path / "in", "cat.0.jpg")
    survey(tmp_path / "in", tmp_path / "out")
    text = " ".join(Page(tmp_path / "out" / "survey.html").text.split())
    assert "Not ready to train: all pictures are cat; 1 very small picture" in text


def test_outliers_are_shown_beside_their_names(surveyed):
    page = Page(surveyed / "survey.html")
    small = [image for image in page.all("img") if image["src"].startswith("data:image/jpeg")]
    assert len(small) >= 10 and {image["alt"] for image in small} <= set(rows(surveyed))
    sizes = [Image.open(io.BytesIO(base64.b64decode(image["src"].partition(",")[2]))).size for image in small]
    assert max(map(max, sizes)) <= 160


def test_names_of_outliers_collide_with_nothing(monkeypatch):
    """Where many pictures stand out at one place, those are named for which there is room."""
    boxes = []

    def png(figure):
        axes = figure.axes[2]
        frame = axes.get_window_extent()
        # That of an annotation would have its line in it.
        boxes.append(([Text.get_window_extent(text) for text in axes.texts], frame))
        return b""

    monkeypatch.setattr(plot_style, "png", png)
    long = "a picture with a very long name indeed.{}.jpg"
    pictures = [
        Usable(long.format(number), "cat", 0, 1000, "JPEG", "RGB", 1, 300 + number % 7, 300 + number % 5, 99.0)
        for number in range(40)
    ] + [
        Usable(f"o{number}.jpg", "cat", 0, 9, "JPEG", "RGB", 1, 310 + number, 306 + number, 99.0) for number in range(9)
    ]
    survey_plots.draw_sizes("t", pictures, pictures, survey_plots.group(["cat"]), False)
    [(names, frame)] = boxes
    # Three are the names of proportions.
    assert len(names) > 4
    for number, one in enumerate(names):
        assert not any(one.overlaps(other) for other in names[:number])
    assert all(name.union([name, frame]).bounds == frame.bounds for name in names[3:])


def test_proportions_on_an_axis_are_named_where_there_is_room(monkeypatch):
    drawn = []

    def png(figure):
        figure.draw_without_rendering()
        [axes] = figure.axes
        drawn.append([text.get_window_extent() for text in axes.get_xticklabels()])
        return b""

    monkeypatch.setattr(plot_style, "png", png)
    for sides in ((100, 110, 90), (100, 40, 300), (100, 9, 1500)):
        pictures = [Usable("a.jpg", "cat", 0, 9, "JPEG", "RGB", 1, side, 100, 99.0) for side in sides]
        survey_plots.draw_histogram(survey_plots.ASPECT, pictures, survey_plots.group(["cat"]), False)
    for names in drawn:
        assert names
        ordered = sorted(names, key=lambda box: box.x0)
        assert all(one.x1 < other.x0 for one, other in zip(ordered, ordered[1:]))


def test_exclusions_give_a_panel_before_and_one_after(samples, surveyed, tmp_path):
    excluded = ["cat.0.jpg", "dog.3.jpg"]
    (tmp_path / "exclude.txt").write_text("".join(map(labels.exclusion_line, excluded)))
    survey(samples / "train", tmp_path / "out", exclude=str(tmp_path / "exclude.txt"))
    assert [key for key, row in rows(tmp_path / "out").items() if row["excluded"] == "1"] == excluded
    one, two = (Image.open(folder / "sizes.png") for folder in (surveyed, tmp_path / "out"))
    assert (one.format, two.format) == ("PNG", "PNG")
    assert (two.width, two.height) == (2 * one.width, one.height)
    assert "The 2 excluded ones" in Page(tmp_path / "out" / "survey.html").text


@pytest.mark.parametrize("keys", [["1.jpg", "2.jpg"], ["some/1.jpg", "some/2.jpg"], ["cat.0.jpg", "2.jpg"]])
def test_classes_are_those_of_make_tfrecords_and_may_be_missing(without_plots, tmp_path, keys):
    found = survey(draw(tmp_path / "in", *keys), tmp_path / "out")
    got = {picture.path: picture.label for picture in found.usable}
    told = {"some/1.jpg": "some", "some/2.jpg": "some", "cat.0.jpg": "cat"}
    assert got == {key: told.get(key, "") for key in keys}
    assert ("no class" in Page(tmp_path / "out" / "survey.html").text) == ("" in got.values())


def test_the_next_command_fits_pictures_without_classes(without_plots, tmp_path, capsys):
    survey_images.main(SurveyOptions(str(draw(tmp_path / "in", "1.jpg")), str(tmp_path / "out")))
    assert capsys.readouterr().out.endswith(f"tools.make_tfrecords --images={tmp_path}/in --unlabeled\n")


def test_labels_win(without_plots, tmp_path):
    (tmp_path / "labels.csv").write_text("path,label\n2.jpg,bird\n")
    survey(draw(tmp_path / "in", "cat.0.jpg", "2.jpg"), tmp_path / "out", labels=str(tmp_path / "labels.csv"))
    assert {key: row["label"] for key, row in rows(tmp_path / "out").items()} == {"2.jpg": "bird", "cat.0.jpg": "cat"}


def test_names_that_are_html_or_no_text_are_harmless(tmp_path):
    hostile = "<img src=x onerror=alert(1)>"
    images = tmp_path / "in"
    draw(images, f"{hostile}.1.jpg", "_&\"'{{ 7*7 }}$x$中</table>\n.1.jpg")
    (images / f"{hostile}.2.jpg").write_bytes(b"<script>alert(2)</script>")
    (images / os.fsdecode(b"\xff\x1b.2.jpg")).write_bytes(b"")
    survey(images, tmp_path / "out")
    assert set(rows(tmp_path / "out")) == set(folders.list_images(images).keys)
    page = Page(tmp_path / "out" / "survey.html")
    for name in (f"{hostile}.2.jpg", r"\xff\x1b.2.jpg", r"{{ 7*7 }}$x$中</table>\n"):
        assert name in page.text
    assert not page.all("script")
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)


def test_many_classes_share_the_colours(tmp_path):
    keys = [f"class{number}.{picture}.jpg" for number in range(9) for picture in range(9 - number)]
    groups = survey_plots.group(key.split(".")[0] for key in keys)
    assert groups.names == [*(f"class{number}" for number in range(6)), "3 more"]
    assert {groups.of_label[f"class{number}"] for number in (6, 7, 8)} == {6}
    survey(draw(tmp_path / "in", *keys), tmp_path / "out")
    assert sorted(os.listdir(tmp_path / "out")) == [outputs.MARKER, *FILES]


def test_sizes_of_a_long_tail(tmp_path):
    for number, side in enumerate((8, 50, 60, 4000)):
        draw(tmp_path / "in", f"cat.{number}.jpg", size=(side, 2 * side))
    survey(tmp_path / "in", tmp_path / "out")
    assert Image.open(io.BytesIO((tmp_path / "out" / "sizes.png").read_bytes())).getbbox()


def test_what_is_there_is_replaced_and_other_files_stay(samples, surveyed, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    survey(samples / "test", tmp_path)
    survey(samples / "train", tmp_path)
    assert contents(tmp_path) == {"mine.txt": b"mine", **contents(surveyed)}


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--images={0}/nowhere"], "nowhere does not exist"),
        (["--images={0}/in", "--exclude={0}/exclude.txt"], "'dog.99.jpg' not among the pictures"),
        (["--images={0}/in", "--exclude={0}/nowhere"], "nowhere: no such file"),
        (["--images={0}/in", "--output={0}/exclude.txt"], "exclude.txt: is a file; give a folder"),
        (["--images={0}/in", "--output={0}/in/survey"], "lies in --images"),
        (["--images={0}/broken"], "no picture is usable (unusable: empty 1); give others"),
        (["--workers=-1"], "--workers=-1: use 1 to 1024, or 0 for one per processor core"),
        (["--max_pixels=0"], "--max_pixels=0: use 1 or more"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(call, tmp_path, flags, said):
    draw(tmp_path / "in", "cat.0.jpg")
    (tmp_path / "exclude.txt").write_text("dog.99.jpg\n")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "cat.0.jpg").touch()
    before = sorted(tmp_path.rglob("*"))
    done = call("tools.survey_images", f"--output={tmp_path}/out", *(flag.format(tmp_path) for flag in flags))
    assert done.code == 2
    assert said in done.err and len(done.err.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_an_exclusion_of_all_that_is_usable(without_plots, tmp_path):
    draw(tmp_path / "in", "cat.0.jpg")
    (tmp_path / "in" / "cat.1.jpg").touch()
    (tmp_path / "exclude.txt").write_text("cat.0.jpg\n")
    with pytest.raises(InputError, match="no picture is usable"):
        survey(tmp_path / "in", tmp_path / "out", exclude=str(tmp_path / "exclude.txt"))


@pytest.mark.shared
def test_every_real_picture_is_accounted_for(shared, tmp_path):
    images = shared / "data" / "dogs-vs-cats-2k" / "train"
    found = survey(images, tmp_path)
    assert found.pictures == len(rows(tmp_path)) == len(list(images.iterdir())) == 2002
    assert [picture.path for picture in found.unusable] == []
    sizes = {picture.path: (picture.width, picture.height) for picture in found.usable}
    for key in list(sizes)[::50]:
        with Image.open(images / key) as image:
            assert sizes[key] == image.size
    # The one that stands out in the plot.
    alt = Page(tmp_path / "survey.html").all("img")[0]["alt"]
    assert "cat.835.jpg 1023x768" in alt


@pytest.mark.parametrize("name", ["survey.html", "survey.csv", "sizes.png", "histograms.png"])
def test_a_file_of_somebody_else_is_refused_before_the_work(tmp_path, name):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("mine")
    with pytest.raises(InputError, match=f"out/{name}: is in the way"):
        # Not even the pictures are looked for.
        survey_images.survey_images(SurveyOptions(images=str(tmp_path / "none"), output=str(tmp_path / "out")))
    assert os.listdir(tmp_path / "out") == [name]


def test_a_full_disk_leaves_what_was_there(without_plots, tmp_path):
    images = draw(tmp_path / "in", "cat.0.jpg", "dog.0.jpg")
    options = SurveyOptions(images=str(images), output=str(tmp_path / "out"), workers=1)
    for room in (0, 1000):
        with full_disk(room), pytest.raises(OSError):
            survey_images.survey_images(options)
        assert os.listdir(tmp_path) == ["in"]
    survey_images.survey_images(options)
    before = tree(tmp_path / "out")
    draw(images, "cat.1.jpg")
    with full_disk(1000), pytest.raises(OSError) as error:
        survey_images.survey_images(options)
    assert str(tmp_path / "out") in error.value.filename
    assert {**tree(tmp_path / "out"), outputs.MARKER: before[outputs.MARKER]} == before
    survey_images.survey_images(options)
