#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times one guided network evaluation of DiMR Studio against PyTorch on the same CPU, side by side.

Both sides stay alive and are asked in turn, A B A B ..., for the median of a few evaluations, so
that a slow minute of the machine falls on both. What counts is the ratio within a round. The
outputs are compared before anything is timed. README.md says what is measured and the protocol.

  side_by_side.py --program build/tests/bench/bench-forward --model data/models/starter
  side_by_side.py --against-itself --model ...     PyTorch on both sides: how far ratios stray by chance
"""
import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

HERE = Path(__file__).resolve().parent
MAX_RELATIVE_ERROR = 1e-4
# Worker threads of a side that has answered go on spinning for a while; they must not be timed.
PAUSE_S = 0.3


class Side:
    """A process that evaluates one case and then answers `run N` with the median of N evaluations in ms."""

    def __init__(self, name, command, model, case, output, threads):
        self.name, self.output, self.blocks = name, output, []
        environment = dict(os.environ, OMP_NUM_THREADS=str(threads))
        self.process = subprocess.Popen([*command, str(model), str(case), str(output), str(threads)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        self.description = self.answer()['ready']

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f'{self.name} ended with status {self.process.wait()}')
        return json.loads(line)

    def run(self, n):
        self.process.stdin.write(f'run {n}\n')
        self.process.stdin.flush()
        return self.answer()['ms']

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def write_case(model, pictures, path):
    """Conditional and unconditional halves of one guided evaluation: x [2B,C,H,W], log_snr [2B], y [2B]."""
    config = json.loads((Path(model) / 'config.json').read_text())
    generator = torch.Generator().manual_seed(7)
    if config.get('num_classes') is None:
        sys.exit(f'{model} has no classes, so there is no guided evaluation to time')
    size, null = config['image_size'], config['num_classes'] - 1
    x = torch.randn(pictures, config['channels'], size, size, generator=generator)
    y = torch.tensor(config.get('trained_classes', list(range(null))))
    y = y[torch.arange(pictures) % len(y)]
    save_file({'x': torch.cat([x, x]),
               'log_snr': torch.full((2 * pictures,), 0.5),
               'y': torch.cat([y, torch.full_like(y, null)])}, str(path))


def compare(ours, theirs):
    a, b = (load_file(str(side.output))['out'].double() for side in (ours, theirs))
    if a.shape != b.shape:
        sys.exit(f'outputs differ in shape: {list(a.shape)} and {list(b.shape)}')
    error = float((a - b).abs().max() / b.abs().max())
    print(f'outputs {list(a.shape)} differ by {error:.2g} of the largest value')
    if not error <= MAX_RELATIVE_ERROR:
        sys.exit(f'that is more than {MAX_RELATIVE_ERROR}: nothing was timed')


def cpu_name():
    try:
        for line in Path('/proc/cpuinfo').read_text().splitlines():
            if line.startswith('model name'):
                return line.split(':', 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def spread(values):
    return f'median {statistics.median(values):.3f}, min {min(values):.3f}, max {max(values):.3f}'


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ours = parser.add_mutually_exclusive_group(required=True)
    ours.add_argument('--program', help='the built bench-forward')
    ours.add_argument('--against-itself', action='store_true')
    parser.add_argument('--model', required=True, help='folder with config.json and model.safetensors')
    parser.add_argument('--pictures', type=int, default=1, help='pictures at a time (batch is twice that)')
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--rounds', type=int, default=20)
    parser.add_argument('--block', type=int, default=10, help='evaluations a block')
    args = parser.parse_args()

    torch_command = [sys.executable, str(HERE / 'dimr_torch.py'), '--serve']
    with tempfile.TemporaryDirectory() as folder:
        case = Path(folder) / 'case.safetensors'
        write_case(args.model, args.pictures, case)
        sides = [Side(name, command, args.model, case, Path(folder) / f'{name}.safetensors', args.threads)
                 for name, command in (('ours', torch_command if args.against_itself else [args.program]),
                                       ('pytorch', torch_command))]
        a, b = sides
        print(f'ours:    {a.description}\npytorch: {b.description}')
        print(f'machine: {cpu_name()}, {os.cpu_count()} CPUs, {platform.system()} {platform.release()}, '
              f'Python {platform.python_version()}')
        print(f'model:   {args.model}, {args.pictures} picture(s) with guidance = batch {2 * args.pictures}, '
              f'{args.threads} threads')
        compare(a, b)

        for side in sides:
            side.run(args.block)
        ratios = []
        for i in range(args.rounds):
            # Which side goes first alternates: neither always follows the other's heat.
            for side in sides if i % 2 == 0 else reversed(sides):
                time.sleep(PAUSE_S)
                side.blocks.append(side.run(args.block))
            ratios.append(b.blocks[-1] / a.blocks[-1])
            print(f'round {i + 1:2}: ours {a.blocks[-1]:8.2f} ms   pytorch {b.blocks[-1]:8.2f} ms   '
                  f'pytorch/ours {ratios[-1]:.3f}   load {os.getloadavg()[0]:.1f}', flush=True)
        for side in sides:
            side.close()
        print(f'ours    ms: {spread(a.blocks)}')
        print(f'pytorch ms: {spread(b.blocks)}')
        print(f'pytorch/ours (above 1: ours is faster): {spread(ratios)}')


if __name__ == '__main__':
    main()
