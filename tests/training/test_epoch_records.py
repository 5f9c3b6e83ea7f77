from __future__ import annotations

import dataclasses
import json
import math

from dogcat.training import epoch_records
from dogcat.training.epoch_records import EpochRecord

FIRST = EpochRecord(0, math.nan, math.nan, 0.25, 0.9, 0.95, math.nan, 3.0, math.nan, math.nan)
SECOND = EpochRecord(1, 1 / 3, 0.8, 0.25, 0.9, 0.95, 1e-4, 3.5, 7.0, 0.01)


def test_the_csv_holds_what_repeats_and_no_times():
    assert epoch_records.as_csv([FIRST, SECOND]).splitlines() == [
        "epoch,loss,accuracy,val_loss,val_accuracy,val_auc,learning_rate",
        "0,nan,nan,0.25,0.9,0.95,nan",
        "1,0.3333333333333333,0.8,0.25,0.9,0.95,0.0001",
    ]
    later = dataclasses.replace(SECOND, seconds=9.0, pictures_per_second=1.0, input_wait=0.5)
    assert epoch_records.as_csv([FIRST, later]) == epoch_records.as_csv([FIRST, SECOND])


def test_the_lines_of_json_hold_all_and_come_back():
    lines = epoch_records.as_jsonl([FIRST, SECOND]).splitlines()
    assert "NaN" not in lines[0]
    back = [epoch_records.from_json(json.loads(line)) for line in lines]
    assert back[1] == SECOND
    assert str(back[0]) == str(FIRST)


def test_of_equal_epochs_the_first_is_the_best():
    assert epoch_records.best_of([FIRST, SECOND]) is FIRST
    better = dataclasses.replace(SECOND, val_loss=0.2)
    assert epoch_records.best_of([FIRST, better]) is better


def test_an_epoch_without_a_number_is_never_the_best():
    first = dataclasses.replace(FIRST, val_loss=math.nan)
    assert epoch_records.best_of([first, SECOND]) is SECOND
    assert epoch_records.best_of([first]) is first
