#!/bin/sh
# Every op on a GPU under NVIDIA's compute-sanitizer: accesses outside of memory (memcheck), races in
# shared memory (racecheck), reads of memory that nobody wrote (initcheck).
#
#   tests/gpu/sanitize.sh build/dev/tests/gpu/test-gpu-ops [TOOL...]
#
# Ends with 77, which is "skipped", where the tool or the GPU is missing.
# SPDX-License-Identifier: Apache-2.0
set -eu
program=$1
shift
[ $# -gt 0 ] || set -- memcheck racecheck initcheck

sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null || true)
if [ -z "$sanitizer" ]; then
  echo "skipped: compute-sanitizer is not installed"
  exit 77
fi
if "$program" -p /ops/concat | grep '^1\.\.0 # SKIP'; then
  exit 77
fi

failed=0
for tool in "$@"; do
  echo "== $tool"
  # Memory that the allocator gives is filled by the backend, so what nobody wrote would still be found
  # as NaN by the test itself; initcheck looks at what the kernels read.
  "$sanitizer" --tool "$tool" --error-exitcode 1 --print-limit 10 "$program" || failed=1
done
exit $failed
