#!/bin/sh
# Every source with strings to translate is in po/POTFILES.in, and nothing else is; xgettext can read each string, and
# po/de.po has it.
# SPDX-License-Identifier: Apache-2.0
cd "$1" || exit 1
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
result=0

grep -v '^#' po/POTFILES.in | grep -v '^$' | sort > "$scratch/have"
{
  ls data/*.desktop.in data/*.metainfo.xml.in data/*.gschema.xml
  grep -lE '\bN?C?_ ?\(|\bngettext ?\(|translatable="yes"' \
    ui/*.c ui/*.ui app/*.c $(find core kernels -name '*.c')
} | sort > "$scratch/want"
if ! diff "$scratch/have" "$scratch/want"; then
  echo "po/POTFILES.in differs from the sources: lines with < are too many, lines with > are missing."
  result=1
fi

# xgettext ends a string at a macro that it does not know, and no translation of it is ever found.
if grep -nE '_ ?\("[^"]*" ?G_[A-Z0-9_]+|^ *"[^"]*" G_[A-Z0-9]+_FORMAT.*"\)[,;]' $(grep '\.c$' "$scratch/want"); then
  echo "These strings hold a macro of GLib, which xgettext cannot read; it knows PRIu64 and its kin."
  result=1
fi

if command -v xgettext > /dev/null && command -v msgcmp > /dev/null; then
  grep '\.c$' "$scratch/want" > "$scratch/sources"
  xgettext --from-code=UTF-8 --keyword=_ --keyword=N_ --keyword=C_:1c,2 --keyword=ngettext:1,2 \
    --files-from="$scratch/sources" --output="$scratch/all.pot" || result=1
  for language in $(grep -v '^#' po/LINGUAS); do
    if ! msgcmp "po/$language.po" "$scratch/all.pot" > "$scratch/missing" 2>&1; then
      grep -v 'warning: this message is not used' "$scratch/missing"
      echo "po/$language.po lacks the translation of these strings."
      result=1
    fi
  done
else
  echo "Whether po/*.po are complete was not looked at: there is no xgettext or msgcmp."
fi
exit $result
