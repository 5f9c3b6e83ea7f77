"""What a mistyped flag, value or word is told: what would be right, in a line that begins with what was given."""

from __future__ import annotations

import pytest

from dogcat.core import flags
from dogcat.core.options import InputError
from dogcat.dataset.options import ShardOptions
from dogcat.training.options import TrainingOptions
from tools.fetch_weights import WeightsOptions
from tools.make_sample_images import SampleOptions


@pytest.mark.parametrize(
    ("options_class", "given", "said"),
    [
        (TrainingOptions, "--epoch=3", "--epoch: there is no such flag; did you mean --epochs?"),
        (TrainingOptions, "--batch-size=3", "--batch-size: there is no such flag; did you mean --batch_size?"),
        (TrainingOptions, "--lr=1", "--lr: there is no such flag; did you mean --learning_rate?"),
        (TrainingOptions, "--bs=1", "--bs: there is no such flag; did you mean --batch_size?"),
        (TrainingOptions, "--wd=1", "--wd: there is no such flag; did you mean --weight_decay?"),
        (TrainingOptions, "--model=x", "--model: there is no such flag; did you mean --backbone?"),
        (TrainingOptions, "--data=x", "--data: there is no such flag; did you mean --tfrecords?"),
        (ShardOptions, "--data=x", "--data: there is no such flag; did you mean --images?"),
        (ShardOptions, "--img_size=1", "--img_size: there is no such flag; did you mean --image_size?"),
        (ShardOptions, "--num_workers=1", "--num_workers: there is no such flag; did you mean --workers?"),
        (TrainingOptions, "--workers=1", "--workers: there is no such flag; --helpfull lists those that there are"),
        (TrainingOptions, "--batch_size=abc", "--batch_size=abc: use a whole number, 1 or more"),
        (TrainingOptions, "--epochs=1.5", "--epochs=1.5: use a whole number, 1 or more, or 0 to stop once the head"),
        (TrainingOptions, "--zoom=x", "--zoom=x: use a number, at least 0 and less than 1, like 0.2"),
        (TrainingOptions, "--resume=maybe", "--resume=maybe: use --resume or --noresume"),
        (TrainingOptions, "--epochs", "--epochs: needs a value; write --epochs=value"),
        (TrainingOptions, "--preset=bset", "--preset=bset: use one of none, best, .*; did you mean best?"),
        (TrainingOptions, "--backbone=resnet50v3", "--backbone=resnet50v3: .*; did you mean resnet50v2?"),
        (TrainingOptions, "--optimizer=ADAMW", "--optimizer=ADAMW: .*; did you mean adamw?"),
        (TrainingOptions, "--config=nope.json", "--config=nope.json: No such file or directory; give the config.json"),
        (TrainingOptions, "--flagfile=nope", "Unable to open flagfile: No such file or directory: 'nope'"),
        (TrainingOptions, "epochs=3", "'epochs=3': did you mean --epochs=3?"),
        (TrainingOptions, "lr=3", "'lr=3': did you mean --learning_rate=3?"),
        (
            TrainingOptions,
            "resume",
            "'resume': did you mean --resume? If not, write --tfrecords=resume",
        ),
        (SampleOptions, "train", "'train': did you mean --train? If not, write --output=train"),
        (WeightsOptions, "xceptoin", "--backbone=xceptoin: .*; did you mean xception?"),
    ],
)
def test_what_is_mistyped_is_told_what_would_be_right(options_class, given, said):
    with pytest.raises(InputError, match="^" + said.replace("?", "[?]")):
        flags.parse(options_class, [given])


def test_a_folder_may_be_called_like_a_flag(tmp_path, monkeypatch):
    (tmp_path / "resume").mkdir()
    (tmp_path / "lr=3").mkdir()
    monkeypatch.chdir(tmp_path)
    for name in ("resume", "lr=3"):
        assert flags.parse(TrainingOptions, [name]).tfrecords == name
    assert flags.parse(TrainingOptions, ["--tfrecords=epochs=3"]).tfrecords == "epochs=3"
    assert flags.parse(TrainingOptions, ["xyzzy=3"]).tfrecords == "xyzzy=3"
    with pytest.raises(InputError, match="^'epochs=3': did you mean --epochs=3[?]"):
        flags.parse(TrainingOptions, ["resume", "epochs=3"])
