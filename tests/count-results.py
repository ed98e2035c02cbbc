"""Counts the single tests behind meson's result files and ends with "N passed, N failed".

A program that ends badly without naming a failed test (a crash, a time-out, a sanitizer's report)
counts as one failure. Exits with 1 where anything failed or nothing ran.

SPDX-License-Identifier: Apache-2.0
"""
import json
import re
import sys

passed = failed = skipped = 0
for path in sys.argv[1:]:
    with open(path, encoding="utf-8") as log:
        for line in log:
            result = json.loads(line)
            points = re.findall(r"^(ok|not ok) \d+(.*)$", result.get("stdout") or "", re.MULTILINE)
            good = [p for p in points if p[0] == "ok" and "# SKIP" not in p[1]]
            bad = [p for p in points if p[0] == "not ok" and "# TODO" not in p[1]]
            skips = [p for p in points if "# SKIP" in p[1]]
            outcome = result["result"]
            passed += len(good)
            failed += len(bad)
            skipped += len(skips)
            if outcome == "SKIP" and not points:
                skipped += 1
            elif outcome in ("OK", "EXPECTEDFAIL"):
                passed += not points
            elif outcome != "SKIP" and not bad:
                failed += 1
                print(f"failed: {result['name']} ({outcome})")
tail = f", {skipped} skipped" if skipped else ""
print(f"{passed} passed, {failed} failed{tail}")
sys.exit(1 if failed or not passed else 0)
