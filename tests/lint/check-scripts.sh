#!/bin/sh
# Every script of the repository can be parsed. One line a script.
# SPDX-License-Identifier: Apache-2.0
cd "$1" || exit 1
set -- studio check .ci/run .ci/setup $(find tests -name '*.sh') $(find tests -name '*.py')
echo "1..$#"
count=0
for script in "$@"; do
  count=$((count + 1))
  case $script in
    *.py) set -- python3 -c 'import ast, sys; ast.parse(open(sys.argv[1]).read())' ;;
    *) set -- bash -n ;;
  esac
  if message=$("$@" "$script" 2>&1); then
    echo "ok $count /scripts/$script"
  else
    echo "not ok $count /scripts/$script"
    echo "$message" | sed 's/^/# /'
  fi
done
