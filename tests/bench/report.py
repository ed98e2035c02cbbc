#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints the figures of a folder of results as Markdown: bench-*.json of `dimr bench`, side-*.json of side_by_side.py,
libraries.json of libraries.py.

  report.py FOLDER > FOLDER/README.md
"""
import json
import sys
from pathlib import Path


def load(folder, pattern):
    for path in sorted(Path(folder).glob(pattern)):
        try:
            yield path.stem, json.loads(path.read_text())
        except json.JSONDecodeError:
            yield path.stem, None


def percent(value):
    return '' if value is None else f'{100 * value:.0f} %'


def shorten(model):
    """A folder's name, or a variant's, which has a slash in it too."""
    return model if model.startswith(('DiMR-', 'DiT-', 'U-ViT-')) else Path(model).name


def bench_tables(folder):
    for name, run in load(folder, 'bench-*.json'):
        if run is None:
            print(f'\n{name}: not readable\n')
            continue
        peaks = run.get('peaks', {})
        print(f'\n## {run["model"]}, {run["precision"]}, {run["device_name"]}\n')
        print(f'dimr {run["version"]} {run.get("commit", "")}, {run["date"]}'
              + (f'; peaks {peaks["flops_per_second"] / 1e12:.2f} TFLOP/s, {peaks["bytes_per_second"] / 1e9:.0f} GB/s' if peaks else '')
              + f'; process at most {run["peak_memory_bytes"] / 2**20:.0f} MiB\n')
        print('| batch | evaluation, ms | p10 to p90 | TFLOP/s | of the product peak | of the sum peak | weights + activations, MiB | device, MiB |')
        print('|---|---|---|---|---|---|---|---|')
        for step in run['steps']:
            s = step['seconds']
            print(f'| {step["batch"]} | {1e3 * s["median"]:.3f} | {1e3 * s["p10"]:.3f} to {1e3 * s["p90"]:.3f} '
                  f'| {step["flops_per_second"] / 1e12:.2f} | {percent(step.get("flops_share"))} | {percent(step.get("bytes_share"))} '
                  f'| {(step["weights_bytes"] + step["activations_bytes"]) / 2**20:.0f} | {step["device_bytes"] / 2**20:.0f} |')
        pictures = run.get('pictures')
        if pictures:
            p = pictures['picture_seconds']
            print(f'\nA picture of {pictures["steps"]} steps: {p["median"]:.3f} s ({p["p10"]:.3f} to {p["p90"]:.3f}, {p["n"]} times); '
                  f'first preview {1e3 * pictures["preview_seconds"]["median"]:.1f} ms, {1e3 * pictures["first_preview_seconds"]:.0f} ms '
                  f'with the device to open; {pictures["pictures_per_second"]:.3g} pictures/s, {pictures["batch"]} at a time.')


def library_tables(folder):
    for name, run in load(folder, 'libraries.json'):
        if run is None:
            print(f'\n{name}: not readable\n')
            continue
        print(f'\n## What the libraries of PyTorch {run["torch"]} need, {run["device"]}, bf16\n')
        print('| what | us | TFLOP/s |\n|---|---|---|')
        for r in run['results']:
            what = (f'product {r["m"]} × {r["n"]} × {r["k"]}' if r['what'] == 'product'
                    else f'attention, {r["heads"]} heads of 257 × 64, {r["backend"]}')
            print(f'| {what} | {1e6 * r["seconds"]:.1f} | {r["flops_per_second"] / 1e12:.2f} |' if 'seconds' in r
                  else f'| {what} | {r["error"]} | |')


def side_tables(folder):
    for name, run in load(folder, 'side-*.json'):
        if run is None:
            print(f'\n{name}: not readable\n')
            continue
        machine = run['machine']
        print(f'\n## Against PyTorch {machine["torch"]}: {shorten(run["model"])}, {machine.get("gpu", machine["cpu"])}\n')
        print(f'{run["date"]}; medians of the rounds (p10 to p90); ratio = PyTorch / ours of the same precision, above 1: ours is faster.\n')
        print('| batch | side | ms | ratio | relative L2 from float32 | ready in, s | peak, MiB |')
        print('|---|---|---|---|---|---|---|')
        for batch in run['batches']:
            for side, entry in batch['sides'].items():
                if 'ms' not in entry:
                    print(f'| {batch["batch"]} | {side} | {entry.get("error", batch.get("error", "not timed"))} | | | | |')
                    continue
                ms, ratio = entry['ms'], batch.get('ratios', {}).get(side)
                print(f'| {batch["batch"]} | {side} | {ms["median"]:.3f} ({ms["p10"]:.3f} to {ms["p90"]:.3f}) | '
                      + (f'{ratio["median"]:.2f} ({ratio["p10"]:.2f} to {ratio["p90"]:.2f})' if ratio else '')
                      + f' | {entry["relative_l2"]:.1g} | {entry["prepare_seconds"]:.1f} | '
                      + (f'{entry["peak_bytes"] / 2**20:.0f}' if 'peak_bytes' in entry else '') + ' |')


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(f'# {Path(sys.argv[1]).resolve().name}')
    bench_tables(sys.argv[1])
    library_tables(sys.argv[1])
    side_tables(sys.argv[1])


if __name__ == '__main__':
    main()
