#!/bin/sh
# gpu-session.sh PACK RESULTS [DEVICE [SECONDS [PARTS [MODELS]]]] — everything that a borrowed GPU is good for, part by part
#
# PACK is a folder that pack.sh made, RESULTS a folder for what comes of it; RESULTS.tar.gz has it all in one file.
# PARTS, with commas between them, are done in this order and need nothing of each other:
#   correct     what the machine is; the suite "gpu", and each test of a program that fails by itself; pictures of the
#               command line with the same bytes however they were made
#   first       `dimr bench` of the first model, with early launches too; what PyTorch's libraries need for its
#               products and its attention; PyTorch side by side at batch 1
#   sanitizers  the op tests under compute-sanitizer: memcheck, racecheck, initcheck
#   others      `dimr bench` of the other models
#   large       PyTorch side by side at a large batch
# Each step has a time of its own, and none depends on another one's success. SECONDS (1500) is for all of them: a step
# gets no more than is left. DEVICE is cuda (or cpu, to try the script). MODELS are variants of the paper with
# commas between them, the most important one first.
#
# BATCHES (1,8,32,64), LARGE_BATCHES (64, against PyTorch), TIME_EACH (3), STEPS (the model's) and
# PYTHON (python3) of the environment make it shorter.
#
# RESULTS/summary.tsv says of each step how it ended; report.py makes a table of the figures.
# SPDX-License-Identifier: Apache-2.0
set -u

[ $# -ge 2 ] || { echo "usage: gpu-session.sh PACK RESULTS [DEVICE [SECONDS [PARTS [MODELS]]]]" >&2; exit 2; }
pack=$(cd "$1" && pwd) || exit 1
mkdir -p "$2" && results=$(cd "$2" && pwd) || exit 1
device=${3:-cuda}
seconds=${4:-1500}
parts=${5:-correct,first,sanitizers,others,large}
models=${6:-DiMR-XL/2R,DiMR-G/2R,DiMR-M/3R,DiMR-L/3R,DiMR-XL/3R}
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

# What tests print goes to the log; here how many of them there were and what became of them.
count_tests () {
  awk '/^ok /{good++} /^not ok /{bad++} /# SKIP/{skipped++} END{printf "%d ok, %d not ok, %d skipped\n", good, bad, skipped}' "$1"
}

# Each program of the suite "gpu". One that ends early says nothing of the tests behind that place, so then each of its
# tests runs once more in a process of its own.
run_tests () {
  failed=0
  log=$results/tests.tap
  : > "$log"
  while IFS="$(printf '\t')" read -r name program variables; do
    echo "== $name" | tee -a "$log"
    # shellcheck disable=SC2086  # variables are words
    env $variables "$pack/run" "$program" > "$log.one" 2>&1 < /dev/null
    status=$?
    cat "$log.one" >> "$log"  # stopped in between, the last program's output is in the other
    if [ $status -eq 0 ]; then
      count_tests "$log.one"
      continue
    fi
    failed=$((failed + 1))
    echo "   ended with $status: each of its tests by itself"
    # shellcheck disable=SC2086
    for path in $(env $variables "$pack/run" "$program" -l 2> /dev/null < /dev/null | grep '^/'); do
      env $variables timeout 60 "$pack/run" "$program" -p "$path" > "$log.one" 2>&1 < /dev/null ||
        { echo "   not ok: $path: $(grep -v '^#' "$log.one" | tail -n 1 | cut -c 1-300)"; cat "$log.one" >> "$log"; }
    done
  done < "$pack/gpu-tests"
  rm -f "$log.one"
  echo "$(wc -l < "$pack/gpu-tests") programs, failed: $failed"
  return $failed
}

# Pictures of one seed, made in several ways: whatever is different in their bytes is a fault.
compare_pictures () {
  failed=0
  folder=$results/pictures
  make_pictures () {
    where=$1
    shift
    "$pack/run" dimr generate --class lion --count 5 --seed 3 --steps 6 --device "$device" --out "$folder/$where" "$@" > /dev/null
  }
  make_pictures plain || return 1
  make_pictures again || failed=1
  make_pictures one-by-one --batch 1 || failed=1
  make_pictures two-by-two --batch 2 --no-previews || failed=1
  DIMR_CUDA_EAGER=1 make_pictures eager || failed=1
  DIMR_CUDA_EARLY_LAUNCH=1 make_pictures early || failed=1
  for picture in "$folder"/plain/*.png; do
    for way in again one-by-one two-by-two eager early; do
      cmp "$picture" "$folder/$way/$(basename "$picture")" || failed=1
    done
  done
  rm -rf "$folder/again" "$folder/one-by-one" "$folder/two-by-two" "$folder/eager" "$folder/early"
  "$pack/run" dimr generate --class lion --count 5 --seed 3 --steps 6 --device cpu --out "$folder/cpu" > /dev/null || failed=1
  echo "5 pictures in 6 ways: $([ $failed -eq 0 ] && echo the same bytes || echo DIFFERENT)"
  return $failed
}

# The op tests under compute-sanitizer, which has to find the program itself.
sanitize () {
  tool=$1
  checker=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2> /dev/null)
  [ -n "$checker" ] || { echo "there is no compute-sanitizer here"; return 1; }
  failed=0
  while IFS="$(printf '\t')" read -r name program variables; do
    case $program in test-gpu-*) ;; *) continue ;; esac
    echo "== $name under $tool"
    # shellcheck disable=SC2086
    env $variables "$checker" --tool "$tool" --target-processes all --error-exitcode 99 "$pack/run" "$program" < /dev/null || failed=1
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
  step "$name" "$limit" env SESSION_FUNCTION="$3" SESSION_ARGUMENT="${4:-}" sh "$self" "$pack" "$results" "$device" "$seconds" "$parts" "$models"
}

# bench MODEL SECONDS [SUFFIX [NAME=VALUE]]: what was measured before the time was over is in the file.
bench () {
  file=bench-$(echo "$1" | tr '/ ' '--')${3:-}
  step "$file" "$2" env ${4:-} "$pack/run" dimr bench "$1" --device "$device" --precision bf16 --batches "$batches" \
    --time "$time_each" ${STEPS:+--steps "$STEPS"} --output "$results/$file.json"
}

# side_by_side SUFFIX SECONDS OPPONENTS BATCHES
side_by_side () {
  file=side-$(echo "$first" | tr '/ ' '--')-$1
  step "$file" "$2" "$python" "$pack/bench/side_by_side.py" --program "$pack/run-bench-forward" --variant "$first" \
    --device "$device" --ours f32,bf16 --opponents "$3" --batches "$4" --rounds 15 --budget $(($2 / 3)) \
    --output "$results/$file.json"
}

wants () {
  case ,$parts, in *,"$1",*) return 0 ;; esac
  return 1
}

[ -e "$results/summary.tsv" ] || printf 'step\thow it ended\tseconds\tlast line\n' > "$results/summary.tsv"
cp "$pack/commit" "$results/commit"

call machine 60 describe_machine
if wants correct; then
  [ ! -s "$pack/gpu-tests" ] || call tests 360 run_tests
  call pictures 60 compare_pictures
fi
if wants first; then
  bench "$first" 120
  (batches=1; bench "$first" 40 -early DIMR_CUDA_EARLY_LAUNCH=1)
  step libraries 60 "$python" "$pack/bench/libraries.py" --device "$device" --output "$results/libraries.json"
  side_by_side batch-1 360 eager-f32,eager-bf16,compile-bf16 1
fi
if wants sanitizers && [ -s "$pack/gpu-tests" ]; then
  for tool in memcheck racecheck initcheck; do call "sanitizer-$tool" 180 sanitize "$tool"; done
fi
if wants others; then
  for model in $(echo "$models" | tr ',' ' '); do
    [ "$model" = "$first" ] || bench "$model" 120
  done
fi
! wants large || side_by_side large 540 eager-f32,eager-bf16,compile-bf16 "${LARGE_BATCHES:-64}"
"$python" "$pack/bench/report.py" "$results" > "$results/README.md" || echo "report.py failed: see README.md"
tar czf "$results.tar.gz" -C "$(dirname "$results")" "$(basename "$results")"
cat "$results/summary.tsv"
