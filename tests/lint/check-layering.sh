#!/bin/sh
# The rooms of the house and which way their includes point: ui, app → core/dimr.h; kernels → core;
# core → GLib. One line a violation.
# SPDX-License-Identifier: Apache-2.0
set -u
cd "$1" || exit 1
count=0

# check NAME FILES PATTERN ALLOWED: lines of FILES that match PATTERN and not ALLOWED.
check () {
  found=$(find $2 \( -name '*.c' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh' \) -exec grep -nE "$3" {} + | grep -vE "$4")
  count=$((count + 1))
  if [ -n "$found" ]; then
    echo "not ok $count /layering/$1"
    echo "$found" | sed 's/^/# /'
  else
    echo "ok $count /layering/$1"
  fi
}

echo "1..8"
check core-and-kernels-know-no-window "core kernels" '#include *<(gtk|gdk|gsk|adwaita)' '^$'
check core-includes-core-only "core" '#include "' '#include "(core/|config\.h|dimr-classes-resource\.h)'
check kernels-include-core-only "kernels" '#include "' '#include "((core|kernels)/|config\.h|emulator\.h)'
check core-knows-no-gpu "core" '#include *<(cuda|cublas|cudnn)|ifdef.*CUDA' '^$'
check cuda-stays-in-its-folder "kernels/cpu" 'cuda|cublas' '^$'
check window-and-command-line-include-one-core-header "ui app" '#include "core/' '#include "core/dimr\.h"'
check no-window-in-the-command-line "app" '#include *<(gtk|gdk|adwaita)' '^app/studio-'
check nothing-unfinished "core kernels ui app tests" 'T[O]DO|F[I]XME|X[X]X' 'XXXXXX'
