"""Writes the shards of a plan in a pipeline of Apache Beam, on whatever runner its flags name.

    dogcat make-tfrecords --images=/shared/train --output=/shared/tfrecords --only=plan
    python beam_shards.py --output=/shared/tfrecords --runner=DirectRunner --direct_num_workers=0
    dogcat make-tfrecords --output=/shared/tfrecords --only=commit

Workers need dogcat, and see the folders by the same paths. Beam may do a piece twice, which does no harm.
"""

from __future__ import annotations

import argparse
import sys

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from dogcat.dataset import shard_pieces, shard_steps


def main() -> None:
    """Runs the pipeline."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", required=True)
    given, of_beam = parser.parse_known_args(sys.argv[1:])
    plan = shard_steps.plan_of(given.output)
    with beam.Pipeline(options=PipelineOptions(of_beam)) as pipeline:
        numbers = pipeline | beam.Create(range(len(plan.shards)))
        # Else one worker would do what follows upon the only element of the beginning.
        spread = numbers | beam.Reshuffle()
        spread | beam.Map(lambda number, folder: shard_pieces.write_piece(folder, number), str(plan.folder))


if __name__ == "__main__":
    main()
