#!/usr/bin/env bash
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=32
# Runs any command of dogcat that takes --cluster on a Dask cluster that lives as long as the job:
#     sbatch dask.sh make-tfrecords --images=/shared/train --output=/shared/tfrecords
#     WORKERS=1 sbatch dask.sh predict --model=/shared/runs/latest --images=/shared/test --output=/shared/p.csv
# The current folder lies where all nodes see it. A network uses all cores of a node, so that it wants one worker there.
set -euo pipefail
file=$PWD/scheduler-${SLURM_JOB_ID}.json
trap 'kill $(jobs -p) 2>/dev/null; wait; rm -f "$file"' EXIT

dask scheduler --no-dashboard --port=0 --scheduler-file="$file" &
# Until then a worker would not find it.
until [ -e "$file" ]; do sleep 0.2; done
srun dask worker --no-dashboard --nworkers="${WORKERS:-$SLURM_CPUS_PER_TASK}" --nthreads=1 --scheduler-file="$file" &
dogcat "$@" --cluster="dask:$file"
