#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times training steps of DiMR Studio against PyTorch eager on the CPU, side by side.

The opponent below is written for this project: the whole step of the paper's recipe (multi-scale
loss, AdamW, moving average) on channels-last features with the fused attention and fused optimizer.
Its loss and gradients are compared with those of `dimr gradients` on the same samples before
anything is timed. Then both make blocks of steps in turn, A B A B ..., and what counts is the ratio
within a round, so that a busy machine falls on both.

  train_side_by_side.py --program build/dev/app/dimr --model data/models/starter --batch 64 --threads 2
"""
import argparse
import csv
import json
import math
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from tensors import load_file, load_model, save_file


def time_param(p, name, log_snr, dims):
    """p(t): [B, 1, ..., D]"""
    s = torch.sigmoid(log_snr[:, None] / 4 * (1 + p[name + '.nodecay_weight']) + p[name + '.nodecay_bias'])
    value = p[name + '.param1'] + s * (p[name + '.param0'] - p[name + '.param1'])
    return value.view(value.shape[0], *[1] * (dims - 2), value.shape[1])


def layer_norm(p, name, log_snr, x):
    y = F.layer_norm(x, x.shape[-1:], eps=1e-5)
    return torch.addcmul(time_param(p, name + '.bias', log_snr, x.dim()), y, time_param(p, name + '.weight', log_snr, x.dim()))


def rms_norm(p, name, log_snr, x):
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True) / math.sqrt(x.shape[-1]) + 1e-8
    return x / norm * time_param(p, name + '.scale', log_snr, x.dim())


def linear(p, name, x):
    return F.linear(x, p[name + '.weight'], p.get(name + '.bias'))


def block(p, name, stage, log_snr, x):
    if stage['block_type'].startswith('Transformer'):
        b, n, d = x.shape
        heads = stage['num_attention_heads']
        h = rms_norm(p, name + '.block1.norm', log_snr, x)
        q, k, v = linear(p, name + '.block1.query_key_value', h).view(b, n, 3, heads, d // heads).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v)
        x = x + linear(p, name + '.block1.dense', y.transpose(1, 2).reshape(b, n, d))
    else:
        w = p[name + '.block1.1.weight']
        y = F.conv2d(x.permute(0, 3, 1, 2), w, p[name + '.block1.1.bias'], padding=w.shape[-1] // 2, groups=w.shape[0])
        x = x + y.permute(0, 2, 3, 1)
    h = rms_norm(p, name + '.block2.norm', log_snr, x)
    return x + linear(p, name + '.block2.w2', F.gelu(linear(p, name + '.block2.w0', h)) * linear(p, name + '.block2.w1', h))


def network(p, config, image, log_snr, y):
    """Noise predictions, one a branch."""
    features, outputs = None, []
    for i, stage in enumerate(config['stage_configs']):
        s = f'stages.{i}.'
        w = p[s + 'input_layer.1.weight']
        x = F.conv2d(image, w, p[s + 'input_layer.1.bias'], stride=w.shape[-1]).permute(0, 2, 3, 1)
        b, height, width, d = x.shape
        x = x + p[s + 'input_layer.3.position_embeddings.weight'].view(stage['max_height'], stage['max_width'], d)
        if features is not None:
            r = stage['max_height'] // config['stage_configs'][i - 1]['max_height']
            u = linear(p, s + 'upsample.1.kernel', layer_norm(p, s + 'upsample.0', log_snr, torch.cat(features, -1)))
            u = u.view(b, height // r, width // r, r, r, d).transpose(2, 3).reshape(b, height, width, d)
            x = x + layer_norm(p, s + 'upsample.2', log_snr, u)
        tokens = stage['block_type'].startswith('Transformer')
        if tokens:
            x = torch.cat([p[s + 'class_embeds.weight'][y][:, None], x.reshape(b, height * width, d)], 1)
        n = stage['num_blocks'] // 2 * 2 + 1
        features, skips = [x], []
        for j in range(n):
            if j > n // 2:
                x = linear(p, s + f'skip_denses.{j - n // 2 - 1}', torch.cat([x, skips.pop()], -1))
            x = block(p, s + f'blocks.{j}', stage, log_snr, x)
            features.append(x)
            if j < n // 2:
                skips.append(x)
        if tokens:
            features = [f[:, 1:].reshape(b, height, width, d) for f in features]
        h = layer_norm(p, s + 'output_layer.0', log_snr, features[-1]).permute(0, 3, 1, 2)
        w = p[s + 'output_layer.2.weight']
        outputs.append(F.conv2d(h, w, p[s + 'output_layer.2.bias'], padding=w.shape[-1] // 2))
    return outputs


def noise_schedule(config, t):
    """alpha, sigma and what the network is told, of VP-SDE."""
    log_alpha = -0.25 * t * t * 19.9 - 0.05 * t
    alpha, sigma = log_alpha.exp(), (-torch.expm1(2 * log_alpha)).sqrt()
    return alpha, sigma, torch.log((alpha / sigma).square().clamp(1e-12, 1e6))


def losses(p, config, x0, noise, t, y):
    alpha, sigma, log_snr = noise_schedule(config, t)
    noisy = alpha.view(-1, 1, 1, 1) * x0 + sigma.view(-1, 1, 1, 1) * noise
    total = 0
    for prediction, coefficient in zip(network(p, config, noisy.float(), log_snr.float(), y), config['loss_coeffs']):
        k = noise.shape[-1] // prediction.shape[-1]
        total = total + coefficient * (prediction - F.avg_pool2d(noise, k) * k).square().mean((1, 2, 3))
    return total


class Opponent:
    def __init__(self, config, tensors, batch, size):
        self.config = config
        self.p = {name: tensor.float().clone().requires_grad_() for name, tensor in tensors.items()}
        decay = [v for k, v in self.p.items() if '.nodecay_' not in k]
        keep = [v for k, v in self.p.items() if '.nodecay_' in k]
        self.optimizer = torch.optim.AdamW([{'params': decay}, {'params': keep, 'weight_decay': 0}], lr=1e-4,
                                           betas=(0.99, 0.99), weight_decay=0.03, fused=True)
        self.average = [v.detach().clone() for v in self.p.values()]
        self.shape = (batch, 3, size, size)

    def step(self):
        x0, noise, t = torch.randn(self.shape), torch.randn(self.shape), torch.rand(self.shape[0], dtype=torch.float64)
        y = torch.randint(0, self.config['num_classes'], (self.shape[0],))
        self.optimizer.zero_grad(set_to_none=True)
        losses(self.p, self.config, x0, noise, t, y).mean().backward()
        self.optimizer.step()
        torch._foreach_lerp_(self.average, [v.detach() for v in self.p.values()], 0.001)


def check(arguments, config, tensors, folder):
    """The same loss and gradients as `dimr gradients`."""
    size, n = config['image_size'], 4
    x0, noise = torch.randn(n, 3, size, size), torch.randn(n, 3, size, size)
    t, y = torch.tensor([0.02, 0.3, 0.7, 0.99]), torch.tensor([0, 1, 2, config['num_classes'] - 1])
    save_file({'s0.x0': x0, 's0.eps': noise, 's0.t': t, 's0.y': y}, folder / 'batch.safetensors')
    subprocess.run([arguments.program, 'gradients', '-m', arguments.model, '-i', folder / 'batch.safetensors', '-o',
                    folder / 'gradients.safetensors'], check=True, stdout=subprocess.DEVNULL)
    ours = load_file(folder / 'gradients.safetensors')
    opponent = Opponent(config, tensors, n, size)
    loss = losses(opponent.p, config, x0, noise, t.double(), y)
    loss.mean().backward()
    worst = max(((ours['grad.' + k] - v.grad).norm() / v.grad.norm().clamp_min(1e-12)).item()
                for k, v in opponent.p.items() if v.grad is not None)
    error = ((ours['s0.loss'] - loss.detach()).abs() / loss.detach()).max().item()
    print(f'loss differs by {error:.1e} of it, the worst gradient by {worst:.1e} of its norm')
    if error > 1e-5 or worst > 1e-3:
        raise SystemExit('the two do not compute the same')


def ours(arguments, folder, precision, steps):
    """Images a second of the steps after the first."""
    out = folder / f'run-{time.monotonic_ns()}'
    subprocess.run([arguments.program, 'train', '--config', arguments.model, '--from', arguments.model, '--data', 'drawn', '--output',
                    out, '--batch', str(arguments.batch), '--threads', str(arguments.threads), '--steps', str(steps + 1),
                    '--log-every', '1', '--sheet-columns', '0', '--precision', precision], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with open(out / 'log.csv', newline='') as file:
        rates = [float(row['images_per_second']) for row in csv.DictReader(file)]
    return statistics.median(rates[1:])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--program', required=True)
    parser.add_argument('--model', required=True)
    parser.add_argument('--batch', type=int, default=64)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--steps', type=int, default=4, help='of a block')
    parser.add_argument('--rounds', type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    config = json.loads((Path(arguments.model) / 'config.json').read_text())
    _, tensors = load_model(arguments.model)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        check(arguments, config, tensors, folder)
        opponent = Opponent(config, tensors, arguments.batch, config['image_size'])
        opponent.step()
        ratios = {'f32': [], 'bf16': []}
        for _ in range(arguments.rounds):
            times = []
            for _ in range(arguments.steps):
                began = time.monotonic()
                opponent.step()
                times.append(time.monotonic() - began)
            theirs = arguments.batch / statistics.median(times)
            for precision, list_ in ratios.items():
                rate = ours(arguments, folder, precision, arguments.steps)
                list_.append(rate / theirs)
                print(f'PyTorch eager f32 {theirs:.1f} images/s, {precision} here {rate:.1f}: ratio {rate / theirs:.2f}', flush=True)
    for precision, list_ in ratios.items():
        print(f'{precision} against PyTorch {torch.__version__} eager f32, {arguments.threads} threads: '
              f'median {statistics.median(list_):.2f} ({min(list_):.2f}-{max(list_):.2f}) of {len(list_)} rounds')


if __name__ == '__main__':
    main()
