#!/bin/sh
# gpu-session.sh PACK RESULTS [DEVICE [SECONDS [MODELS]]] — everything that a borrowed GPU is good for, in one go
#
# PACK is a folder that pack.sh made, RESULTS a new one for what comes of it. Each step has a time of
# its own, and none depends on another one's success; what is worth most comes first. SECONDS (1500)
# is for all of them: a step gets no more than is left. DEVICE is cuda (or cpu, to try the script).
# MODELS are variants of the paper with commas between them, the most important one first.
#
# BATCHES (1,8,32,64), LARGE_BATCHES (64, against PyTorch), TIME_EACH (3), STEPS (the model's) and
# PYTHON (python3) of the environment make it shorter.
#
# RESULTS/summary.tsv says of each step how it ended; report.py makes a table of the figures.
# SPDX-License-Identifier: Apache-2.0
set -u

[ $# -ge 2 ] || { echo "usage: gpu-session.sh PACK RESULTS [DEVICE [SECONDS [MODELS]]]" >&2; exit 2; }
pack=$(cd "$1" && pwd) || exit 1
mkdir -p "$2" && results=$(cd "$2" && pwd) || exit 1
device=${3:-cuda}
seconds=${4:-1500}
models=${5:-DiMR-XL/2R,DiMR-G/2R,DiMR-M/3R,DiMR-L/3R,DiMR-XL/3R}
batches=${BATCHES:-1,8,32,64}
time_each=${TIME_EACH:-3}
first=${models%%,*}
began=$(date +%s)
python=${PYTHON:-python3}

left () {
  echo $((seconds - $(date +%s) + began))
}

# step NAME SECONDS COMMAND…: at most so long, and no longer than there is time; the log is NAME.log.
step () {
  name=$1
  limit=$2
  shift 2
  rest=$(left)
  [ "$rest" -ge "$limit" ] || limit=$rest
  if [ "$limit" -lt 5 ]; then
    printf '%s\tleft out\t0\tno time left\n' "$name" | tee -a "$results/summary.tsv"
    return
  fi
  start=$(date +%s)
  timeout -k 10 "$limit" "$@" > "$results/$name.log" 2>&1
  status=$?
  case $status in
    0) how=good ;;
    124|137) how="stopped after $limit s" ;;
    *) how="failed with $status" ;;
  esac
  printf '%s\t%s\t%s\t%s\n' "$name" "$how" $(($(date +%s) - start)) "$(tail -n 1 "$results/$name.log" | cut -c 1-200)" |
    tee -a "$results/summary.tsv"
}

describe_machine () {
  lscpu
  date -u
  uname -a
  cat "$pack/commit"
  "$pack/run" dimr --version
  "$pack/run" dimr devices
  command -v nvidia-smi > /dev/null && nvidia-smi && nvidia-smi -q -d CLOCK,POWER,ECC,TEMPERATURE
  "$python" -c 'import torch; print("torch", torch.__version__, torch.version.cuda, torch.backends.cudnn.version())'
}

# Each program of the suite "gpu", under the command given before it if there is one; not ok where one of them is.
run_tests () {
  failed=0
  while IFS="$(printf '\t')" read -r name program arguments; do
    case $name in *${ONLY:-}*) ;; *) continue ;; esac
    echo "== $name"
    # shellcheck disable=SC2086  # arguments are words
    "$pack/run" "$program" $arguments || failed=1
  done < "$pack/gpu-tests"
  echo "tests: $(wc -l < "$pack/gpu-tests") programs, failed: $failed"
  return $failed
}

# The same under compute-sanitizer, which has to find the program itself.
sanitize () {
  tool=$1
  checker=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2> /dev/null)
  [ -n "$checker" ] || { echo "there is no compute-sanitizer here"; return 1; }
  failed=0
  while IFS="$(printf '\t')" read -r name program arguments; do
    case $name in *op*) ;; *) continue ;; esac
    echo "== $name under $tool"
    # shellcheck disable=SC2086
    "$checker" --tool "$tool" --target-processes all --error-exitcode 99 "$pack/run" "$program" $arguments || failed=1
  done < "$pack/gpu-tests"
  return $failed
}

# timeout(1) starts programs, no functions: the script calls itself for those.
if [ "${SESSION_FUNCTION:-}" != "" ]; then
  function=$SESSION_FUNCTION
  unset SESSION_FUNCTION
  $function ${SESSION_ARGUMENT:-}
  exit
fi
self=$0

call () {
  name=$1
  limit=$2
  step "$name" "$limit" env SESSION_FUNCTION="$3" SESSION_ARGUMENT="${4:-}" sh "$self" "$pack" "$results" "$device" "$seconds" "$models"
}

bench () {
  file=bench-$(echo "$1" | tr '/ ' '--')
  # What was measured before the time was over is in the file.
  step "$file" "$2" "$pack/run" dimr bench "$1" --device "$device" --precision bf16 --batches "$batches" --time "$time_each" \
    ${STEPS:+--steps "$STEPS"} --output "$results/$file.json"
}

side_by_side () {
  file=side-$(echo "$1" | tr '/ ' '--')-$4
  step "$file" "$2" "$python" "$pack/bench/side_by_side.py" --program "$pack/run-bench-forward" --variant "$1" \
    --device "$device" --ours f32,bf16 --opponents "$3" --batches "$5" --rounds 15 --budget $(($2 / 3)) \
    --output "$results/$file.json"
}

printf 'step\thow it ended\tseconds\tlast line\n' > "$results/summary.tsv"

call machine 60 describe_machine
[ ! -s "$pack/gpu-tests" ] || call tests 300 run_tests
bench "$first" 180
side_by_side "$first" 420 eager-f32,eager-bf16,compile-bf16 batch-1 1
[ ! -s "$pack/gpu-tests" ] || for tool in memcheck racecheck initcheck; do call "sanitizer-$tool" 150 sanitize "$tool"; done
for model in $(echo "$models" | tr ',' ' '); do
  [ "$model" = "$first" ] || bench "$model" 120
done
side_by_side "$first" 600 eager-f32,eager-bf16,compile-bf16 large "${LARGE_BATCHES:-64}"
cp "$pack/commit" "$results/commit"
"$python" "$pack/bench/report.py" "$results" > "$results/README.md" || echo "report.py failed: see README.md"
cat "$results/summary.tsv"
