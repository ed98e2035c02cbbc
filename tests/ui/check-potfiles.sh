#!/bin/sh
# Every source with translatable strings is in po/POTFILES.in, and nothing else is; xgettext can read each string.
# SPDX-License-Identifier: Apache-2.0
cd "$1" || exit 1
grep -v '^#' po/POTFILES.in | grep -v '^$' | sort > "${TMPDIR:-/tmp}/potfiles-have.$$"
{
  ls data/*.desktop.in data/*.metainfo.xml.in data/*.gschema.xml
  grep -lE '\bN?C?_ ?\(|\bngettext ?\(|translatable="yes"' ui/*.c ui/*.ui app/*.c
} | sort > "${TMPDIR:-/tmp}/potfiles-want.$$"
diff "${TMPDIR:-/tmp}/potfiles-have.$$" "${TMPDIR:-/tmp}/potfiles-want.$$"
result=$?
rm -f "${TMPDIR:-/tmp}/potfiles-have.$$" "${TMPDIR:-/tmp}/potfiles-want.$$"
[ $result -eq 0 ] || echo "po/POTFILES.in differs from the sources: lines with < are too many, lines with > are missing."
# xgettext ends a string at a macro that it does not know, and no translation of it is ever found.
if grep -nE '_ ?\("[^"]*" ?G_[A-Z0-9_]+' ui/*.c app/*.c; then
  echo "These translatable strings hold a macro of GLib, which xgettext cannot read; it knows PRIu64 and its kin."
  result=1
fi
exit $result
