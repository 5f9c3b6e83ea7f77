#!/usr/bin/env bash
# Makes a data set with an array of Slurm jobs, and nothing else:
#     shards.sh IMAGES OUTPUT [JOBS]
# Both folders lie where all nodes see them. Slurm's own settings, like SBATCH_PARTITION, are those of the environment.
set -euo pipefail
images=$1 output=$2 jobs=${3:-64}

dogcat make-tfrecords --images="$images" --output="$output" --only=plan
# An array knows its tasks by number, which is all that a part needs.
array=$(sbatch --parsable --job-name=shards --cpus-per-task="${CPUS:-8}" --array="0-$((jobs - 1))" \
    --wrap="dogcat make-tfrecords --output='$output' --only=\$SLURM_ARRAY_TASK_ID/$jobs")
# A task that failed or was killed is submitted again by itself; commit names what is missing.
sbatch --job-name=commit --dependency="afterok:$array" \
    --wrap="dogcat make-tfrecords --output='$output' --only=commit"
