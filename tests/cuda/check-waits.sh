#!/bin/sh
# Looks at the machine code of every kernel for devices of capability 9.0 on: with early launches a kernel runs beside
# the end of the one before it, so nothing may be read or written before its wait (kernel_begin), wherever a
# compiler moved it.
#
#   tests/cuda/check-waits.sh OBJECT…
#
# Ends with 77, which is "skipped", where cuobjdump is missing.
# SPDX-License-Identifier: Apache-2.0
set -eu

tool=$(command -v cuobjdump || ls /usr/local/cuda/bin/cuobjdump 2> /dev/null || true)
if [ -z "$tool" ]; then
  echo "skipped: cuobjdump is not installed"
  exit 77
fi
for object in "$@"; do
  "$tool" -sass "$object" 2> /dev/null || true
done | awk '
  function finish () {
    if (kernel != "" && !waited) { print "no wait in " kernel; faults++ }
  }
  /code for sm_/ { finish (); kernel = ""; modern = substr ($3, 4) + 0 >= 90 }
  /Function : / { finish (); kernel = modern ? $3 : ""; waited = 0; n += modern; next }
  /ACQBULK/ { waited = 1 }
  /[ \t](LDG|LD|STG|ST|LDGSTS|ATOM|ATOMG|RED|REDG)(\.| )/ && kernel != "" && !waited { print "before the wait of " kernel ": " $0; faults++ }
  END {
    finish ()
    print n " kernels, " faults + 0 " faults"
    if (n == 0) { print "skipped: no code for 9.0 or later"; exit 77 }
    exit faults > 0
  }'
