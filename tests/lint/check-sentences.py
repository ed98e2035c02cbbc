#!/usr/bin/env python3
"""Every sentence of core/ and kernels/ that a user can meet goes through gettext, and names of files in it are shown safely.

Looks at the calls that make such sentences: a string literal among their arguments that holds words is given to _(),
N_(), C_() or ngettext(). Not looked at: the rules of shapes in core/graph, which tell a programmer what is wrong with a
graph that no file can ask for.
"""
# SPDX-License-Identifier: Apache-2.0

import pathlib
import re
import sys

MAKERS = (
    "dimr_error_set dimr_error_refuse g_set_error g_set_error_literal g_error_new g_error_new_literal g_prefix_error "
    "dimr_refuse dimr_refuse_model dimr_refuse_with REFUSE REFUSE_HERE DIMR_PICKLE_REFUSE DIMR_TORCH_REFUSE refuse fail "
    "dimr_reader_fail dimr_run_warn tell set_lost set_reason png_error cuda_device_alloc cpu_try_alloc"
).split()
TRANSLATORS = ("_", "N_", "C_", "ngettext")
OTHERS = ("g_strcmp0", "strcmp", "strstr", "strspn", "strcspn", "g_hash_table_lookup")

TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|\w+|\S', re.S)
EXEMPT = ("core/graph/dimr-op-private.h",)

WORDS = re.compile(r"[^\W\d_]{2,} |[ ][^\W\d_]{2,}")


def holds_words(literal):
    return WORDS.search(re.sub(r"%[-+ #0-9.*$]*(?:hh|h|ll|l|z)?[a-zA-Z]", "", literal[1:-1])) is not None


def find_faults(text):
    """Pairs of a line and what is wrong there."""
    faults = []
    calls = []  # for each open parenthesis the name before it
    before = ""
    for match in TOKEN.finditer(text):
        token = match.group()
        if token.startswith(("//", "/*")):
            continue
        line = text.count("\n", 0, match.start()) + 1
        if token == "(":
            calls.append((before, line))
        elif token == ")" and calls:
            calls.pop()
        elif token == ";":
            calls.clear()  # no sentence goes beyond a statement
        elif token[0] == '"' and holds_words(token):
            names = [name for name, _ in calls]
            maker = next((name for name in names if name in MAKERS), None)
            if maker and not any(name in TRANSLATORS + OTHERS for name in names):
                faults.append((line, f"{token} is given to {maker}() without _()"))
        elif token == "DIMR_ERROR" and calls and calls[-1][0] in ("g_set_error", "g_error_new"):
            faults.append((line, f"dimr_error_set() makes errors of libdimr, not {calls[-1][0]}()"))
        before = token
    return faults


def check_itself():
    """What must be found is found, and nothing else."""
    wrong = [
        'dimr_error_set (error, DIMR_ERROR_FILE, "There is no %s", path);',
        'return REFUSE (m, "a name is not text");',
        'dimr_error_set (error, code, _("%s: %s"), path, ok ? _("it is there") : "it is gone");',
        'g_set_error (error, DIMR_ERROR, DIMR_ERROR_FILE, _("There is no %s"), path);',
    ]
    right = [
        'dimr_error_set (error, DIMR_ERROR_FILE, _("There is no %s"), path);',
        'dimr_error_set (error, code, "%s: %s", path, reason);',
        'dimr_error_refuse (error, ngettext ("%u picture is left", "%u pictures are left", n), n);',
        'g_object_new ("a type", NULL); /* fail ("not a call") */',
        'g_set_error_literal (error, DIMR_ERROR, DIMR_ERROR_FILE, _("There is no picture"));',
    ]
    return [f"missed: {text}" for text in wrong if not find_faults(text)] + [
        f"found without reason: {text}" for text in right if find_faults(text)
    ]


def report(number, name, problems):
    print(("not ok" if problems else "ok"), number, "/sentences/" + name)
    for problem in problems:
        print("#", problem)


def main():
    root = pathlib.Path(sys.argv[1])
    problems = []
    for room in ("core", "kernels"):
        for path in sorted((root / room).rglob("*.[ch]")):
            if str(path.relative_to(root)) in EXEMPT:
                continue
            problems += [f"{path.relative_to(root)}:{line}: {what}" for line, what in find_faults(path.read_text())]
    print("1..2")
    report(1, "what-is-wrong-is-found", check_itself())
    report(2, "all-go-through-gettext", problems)


main()
