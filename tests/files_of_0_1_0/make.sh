#!/bin/sh
# Makes files.tar.xz: files of every kind that version 0.1.0 (commit 289f24b) wrote and later commands read.
#
# Run in an empty folder, with a checkout of that commit on PYTHONPATH and its requirements installed. All is packed as
# 0.1.0 wrote it. The weights of the backbone are a short pattern over and over instead of anybody's trained ones, so
# that models, states and exports of 4 MB each compress to some kilobytes.
set -eu
export DOGCAT_CACHE=cache TF_CPP_MIN_LOG_LEVEL=2

python -m tools.make_sample_images --output=pictures --train=24 --test=4
make="python -m tools.make_tfrecords --workers=1 --shards=2"
$make --images=pictures/train --output=data/jpeg --image_size=32 --validation=0.3
$make --images=pictures/train --output=data/raw --image_size=16 --validation=0.3 --encoding=raw --resize=pad
$make --images=pictures/test --output=data/png --image_size=32 --encoding=png --unlabeled

# Scaled so that features differ by some units between pictures.
python - <<'PYTHON'
import numpy as np
from dogcat import model

backbone = model.backbone_of(model.build_model("mobilenetv3small", 32, 2))
pattern = np.round(np.random.default_rng(0).normal(0, 16, 251)) / 16
for layer in backbone.layers:
    arrays = layer.get_weights()
    for place, array in enumerate(arrays):
        if array.ndim == 4:
            inputs = array[..., 0].size if array.shape[-1] > 1 else array[..., 0, 0].size
            arrays[place] = np.resize(pattern, array.size).reshape(array.shape) * np.sqrt(3 / inputs)
    layer.set_weights(arrays)
backbone.save_weights("weights.h5")
PYTHON

same="--engine=tensorflow --precision=float32 --strategy=one_device"
train="python -m dogcat.train $same --tfrecords=data/jpeg --backbone=mobilenetv3small --weights=weights.h5 --noreport"
epochs="--unfreeze_from=Conv_1/BatchNorm --learning_rate=0.001 --schedule=cosine --batch_size=4 --epochs=4 --patience=9
    --save_minutes=0.001 --keep=2"
$train --runs=runs --unfreeze_from= --epochs=0 --cache=disk
$train --runs=runs $epochs
$train --runs=stopped $epochs &
# At the end of an epoch's steps, before its validation, or in the middle of one.
until [ -n "$(find stopped -path '*/state/00002-000000[2-9]' 2>/dev/null)" ]; do sleep 0.01; done
kill -TERM $!
wait $! || [ $? = 75 ]

same="$same --model=runs/latest --batch_size=4"
python -m dogcat.predict $same --tfrecords=data/png --clip=0 --columns=path,logit,probabilities --output=png.csv
python -m dogcat.predict $same --images=pictures/test --clip=0 --tta=flip --output=test.jsonl
python -m dogcat.evaluate $same --tfrecords=data/jpeg --tta=none --output=evaluation
python -m tools.export_model --model=runs/latest --output=exported

python - <<'PYTHON'
import json
import zlib
from pathlib import Path

from dogcat import inference, manifest, pipeline, readers
from dogcat.config import PredictionOptions

# What 0.1.0 reads of each data set.
read = {}
for name in ("jpeg", "png", "raw"):
    data = manifest.load(Path("data", name))
    read[name] = {}
    for split in data.splits:
        reader = readers.open_split(Path("data", name), data, split)
        [pictures] = pipeline.evaluation_dataset(reader, len(reader.labels)).as_numpy_iterator()
        crcs = [zlib.crc32(picture.tobytes()) for picture in pictures]
        read[name][split] = [list(row) for row in zip(reader.keys(), reader.labels.tolist(), crcs)]
Path("read.json").write_text(json.dumps(read, indent=1))

# A prediction that was killed before its last batch, as --output=stopped.csv.
same = {"engine": "tensorflow", "precision": "float32", "strategy": "one_device", "batch_size": 2}
inference.predict(PredictionOptions("runs/latest", "", "data/png", output="stopped.csv", **same))
lines = Path("stopped.csv.partial").read_bytes().splitlines(keepends=True)
Path("stopped.csv.partial").write_bytes(b"".join(lines[:-1]))
PYTHON

# A data set that was killed after its first shard. A file, since worker processes begin by reading it again.
cat >half.py <<'PYTHON'
import os

from dogcat import staging
from dogcat.config import ShardOptions
from tools.make_tfrecords import make_data_set

add = staging.Staging.add
staging.Staging.add = lambda *arguments: (add(*arguments), os._exit(0))
if __name__ == "__main__":
    make_data_set(
        ShardOptions("pictures/test", "data/half", image_size=16, unlabeled=True, shards=2, workers=1)
    )
PYTHON
python half.py

# What nothing reads, or is large.
rm -r half.py pictures/train pictures/test/2.jpg runs/*/*.png stopped/*/*.png
tar --sort=name --owner=0 --group=0 --numeric-owner -cf - * | xz -9e >../files.tar.xz
