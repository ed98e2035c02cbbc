#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Losses and memory of training in DiMR Studio beside PyTorch, on the same samples.

Both start from the weights of a model and make the same AdamW steps: same pictures, noise, times and
labels, in one file that `dimr gradients --steps` reads. Rounding errors grow from step to step, so
PyTorch also runs twice from weights that differ in their last digits: how far its two curves part is
the noise within which ours have to lie. The pictures are smooth colours that depend on the class, so
that there is something to learn.

Then each side trains in a process of its own, and the peaks of their memory are compared.

  train_curves.py --program build/dev/app/dimr --model data/models/starter --steps 100
"""
import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import torch.nn.functional as F

from tensors import load_file, load_model, save_file
from train_side_by_side import Opponent, losses

WINDOW = 10  # steps whose mean is compared: single losses depend on the times that were drawn


def make_batches(config, steps, batch):
    """One dictionary of tensors a step."""
    size, classes = config['image_size'], 12
    base = torch.randn(classes, config['channels'], 4, 4)
    batches = []
    for _ in range(steps):
        y = torch.randint(0, classes, (batch,))
        small = base[y] + 0.3 * torch.randn(batch, config['channels'], 4, 4)
        x0 = F.interpolate(small, size=(size, size), mode='bilinear').tanh()
        batches.append({'x0': x0, 'eps': torch.randn_like(x0), 't': torch.rand(batch).clamp_min(1e-3), 'y': y})
    return batches


def run_theirs(config, tensors, batches, lr, jitter=0.0):
    """Mean loss of every step."""
    noisy = {k: v.float() * (1 + jitter * torch.randn(v.shape)) for k, v in tensors.items()}
    opponent = Opponent(config, noisy, batches[0]['x0'].shape[0], config['image_size'])
    for group in opponent.optimizer.param_groups:
        group['lr'] = lr
    curve = []
    for b in batches:
        opponent.optimizer.zero_grad(set_to_none=True)
        loss = losses(opponent.p, config, b['x0'], b['eps'], b['t'].double(), b['y']).mean()
        loss.backward()
        opponent.optimizer.step()
        curve.append(loss.item())
    return torch.tensor(curve)


def run_ours(arguments, batches, precision, folder):
    save_file({f's{k}.{name}': tensor for k, b in enumerate(batches) for name, tensor in b.items()}, folder / 'batches.safetensors')
    subprocess.run([arguments.program, 'gradients', '-m', arguments.model, '-i', folder / 'batches.safetensors', '-o',
                    folder / 'after.safetensors', '--steps', str(len(batches)), '--lr', str(arguments.lr), '--ema', '0.999',
                    '--precision', precision, '--threads', str(arguments.threads)], check=True, stdout=subprocess.DEVNULL)
    after = load_file(folder / 'after.safetensors')
    return torch.stack([after[f's{k}.loss'].mean() for k in range(len(batches))])


def smooth(curve):
    return curve[:len(curve) // WINDOW * WINDOW].view(-1, WINDOW).mean(1)


def compare_curves(arguments, config, tensors, folder):
    batches = make_batches(config, arguments.steps, arguments.batch)
    theirs = run_theirs(config, tensors, batches, arguments.lr)
    curves = {'PyTorch f32': theirs, 'PyTorch f32 again': run_theirs(config, tensors, batches, arguments.lr, 1e-7),
              'PyTorch, weights of bf16': run_theirs(config, tensors, batches, arguments.lr, 2.0 ** -9),
              'here f32': run_ours(arguments, batches, 'f32', folder), 'here bf16': run_ours(arguments, batches, 'bf16', folder)}
    reference = smooth(theirs)
    print(f'loss, means of {WINDOW} steps, and the largest difference from the first row:')
    for name, curve in curves.items():
        values = smooth(curve)
        worst = ((values - reference).abs() / reference).max().item()
        print(f'  {name:<26}' + ' '.join(f'{v:.5f}' for v in values.tolist()) + f'   {worst:.1e}')


def peak_of(command):
    """MiB at most of a process, as the kernel counted."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f'{command[0]} failed')
    return usage.ru_maxrss / 1024


def compare_memory(arguments, folder):
    theirs = [sys.executable, __file__, '--program', arguments.program, '--model', arguments.model, '--threads', str(arguments.threads)]
    empty = peak_of(theirs + ['--only', 'nothing'])
    full = peak_of(theirs + ['--only', 'steps', '--memory-batch', str(arguments.memory_batch)])
    print(f'memory at most, batch {arguments.memory_batch}: PyTorch {full:.0f} MiB, of which {empty:.0f} MiB without a model')
    whole = ['--micro-batch', str(arguments.memory_batch)]
    ways = {'as it is': [], 'the batch at once': whole, 'the batch at once, recomputed': [*whole, '--recompute', 'true']}
    for i, (name, options) in enumerate(ways.items()):
        ours = peak_of([arguments.program, 'train', '--config', arguments.model, '--from', arguments.model, '--data', 'drawn', '--output',
                        folder / f'run{i}', '--batch', str(arguments.memory_batch), '--threads', str(arguments.threads), '--steps', '3',
                        '--sheet-columns', '0', *options])
        print(f'  here, {name}: {ours:.0f} MiB, {ours / full:.2f} of PyTorch\'s, {ours / (full - empty):.2f} of what its model takes',
              flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--program', required=True)
    parser.add_argument('--model', required=True)
    parser.add_argument('--steps', type=int, default=100)
    parser.add_argument('--batch', type=int, default=16)
    parser.add_argument('--lr', type=float, default=3e-4)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--memory-batch', type=int, default=64)
    parser.add_argument('--skip-curves', action='store_true')
    parser.add_argument('--only', choices=('nothing', 'steps'), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    config, tensors = load_model(arguments.model)
    if arguments.only == 'nothing':
        return
    if arguments.only == 'steps':
        opponent = Opponent(config, tensors, arguments.memory_batch, config['image_size'])
        for _ in range(3):
            opponent.step()
        return
    with tempfile.TemporaryDirectory() as name:
        if not arguments.skip_curves:
            compare_curves(arguments, config, tensors, Path(name))
        compare_memory(arguments, Path(name))


if __name__ == '__main__':
    main()
