#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""DiMR's forward pass in PyTorch: the opponent of the side-by-side measurement.

Written for this project and meant to be as fast as eager float32 PyTorch gets without tricks that
a careful user would not know: what depends on time only is computed before the clock starts,
attention is the fused one, ConvNeXt features stay channels-last, sums and products are in place
where they can be, the heads that sampling does not use are left out, and the conditional and
unconditional halves are one batch.

  dimr_torch.py --check DIR      compare with the reference forward cases below DIR
  dimr_torch.py --serve MODEL INPUT OUTPUT THREADS   the protocol of side_by_side.py
"""
import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

LAYER_NORM_EPS = 1e-5
RMS_EPS = 1e-8


class Parameters:
    """The tensors of a checkpoint under a prefix; those that depend on time are evaluated there."""

    def __init__(self, tensors, log_snr=None, prefix=''):
        self.tensors, self.log_snr, self.prefix = tensors, log_snr, prefix

    def __getitem__(self, name):
        return self.tensors[self.prefix + name]

    def __contains__(self, name):
        return self.prefix + name in self.tensors

    def below(self, prefix):
        return Parameters(self.tensors, self.log_snr, self.prefix + prefix)

    def at_time(self, name, feature_dims):
        """p(t): [D] where the batch shares its time, else [B, 1, ..., D]."""
        if name in self:
            return self[name]
        p0, p1 = self[name + '.param0'], self[name + '.param1']
        tau = self.log_snr[:, None] / 4
        s = torch.sigmoid(tau * (1 + self[name + '.nodecay_weight']) + self[name + '.nodecay_bias'])
        p = p1 + s * (p0 - p1)
        if p.shape[0] == 1:
            return p[0]
        return p.reshape(p.shape[0], *[1] * (feature_dims - 2), p.shape[1])


def layer_norm(p, feature_dims):
    weight, bias = p.at_time('weight', feature_dims), p.at_time('bias', feature_dims)
    if weight.dim() == 1:
        return lambda x: F.layer_norm(x, weight.shape, weight, bias, LAYER_NORM_EPS)
    return lambda x: F.layer_norm(x, x.shape[-1:], None, None, LAYER_NORM_EPS) * weight + bias


def block_norm(p, kind, feature_dims):
    if kind == 'LN':
        return layer_norm(p, feature_dims)
    if kind not in ('TDRMSN', 'RMSN'):
        raise ValueError(f'norm_type {kind} is not measured here')
    scale = p.at_time('scale', feature_dims)
    root = scale.shape[-1] ** 0.5
    scale = scale * root
    eps = RMS_EPS * root
    return lambda x: (x * torch.linalg.vector_norm(x, dim=-1, keepdim=True).add_(eps).reciprocal_()).mul_(scale)


def mlp(p, kind, feature_dims):
    norm = block_norm(p.below('norm.'), kind, feature_dims)
    (w0, b0), (w1, b1), (w2, b2) = ((p[f'w{i}.weight'], p[f'w{i}.bias']) for i in range(3))

    def run(x):
        h = norm(x)
        return F.linear(F.gelu(F.linear(h, w0, b0)).mul_(F.linear(h, w1, b1)), w2, b2)
    return run


def attention(p, kind, heads):
    norm = block_norm(p.below('norm.'), kind, 3)
    qkv, dense, bias = p['query_key_value.weight'], p['dense.weight'], p['dense.bias']

    def run(x):
        b, n, d = x.shape
        q, k, v = F.linear(norm(x), qkv).view(b, n, 3, heads, d // heads).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v)
        return F.linear(y.transpose(1, 2).reshape(b, n, d), dense, bias)
    return run


def depthwise(p, kernel):
    weight = p['1.weight'].contiguous(memory_format=torch.channels_last)
    bias, groups = p['1.bias'], p['1.weight'].shape[0]

    def run(x):
        y = F.conv2d(x.permute(0, 3, 1, 2), weight, bias, padding=kernel // 2, groups=groups)
        return y.permute(0, 2, 3, 1)
    return run


def upsample(p, ratio):
    before, after = layer_norm(p.below('0.'), 4), layer_norm(p.below('2.'), 4)
    weight, bias = p['1.kernel.weight'], p['1.kernel.bias']

    def run(features):
        y = F.linear(before(torch.cat(features, -1)), weight, bias)
        b, h, w, c = y.shape
        y = y.view(b, h, w, ratio, ratio, c // ratio ** 2).transpose(2, 3)
        return after(y.reshape(b, h * ratio, w * ratio, -1))
    return run


class Stage:
    def __init__(self, p, config, stage, lower):
        self.transformer = stage['block_type'].startswith('Transformer')
        dims = 3 if self.transformer else 4
        kind = config['norm_type']
        n = stage['num_blocks'] // 2 * 2 + 1
        self.half = n // 2

        self.area = stage['image_input_ratio']
        self.patch_weight, self.patch_bias = p['input_layer.1.weight'], p['input_layer.1.bias']
        self.positions = p['input_layer.3.position_embeddings.weight'].view(
            stage['max_height'], stage['max_width'], -1)
        self.classes = p['class_embeds.weight'] if self.transformer and 'class_embeds.weight' in p else None
        self.upsample = upsample(p.below('upsample.'), stage['max_height'] // lower['max_height']) if lower else None
        self.blocks = []
        for j in range(n):
            b = p.below(f'blocks.{j}.')
            first = (attention(b.below('block1.'), kind, stage['num_attention_heads']) if self.transformer
                     else depthwise(b.below('block1.'), stage['kernel_size']))
            self.blocks.append((first, mlp(b.below('block2.'), kind, dims)))
        self.skips = [(p[f'skip_denses.{j}.weight'], p[f'skip_denses.{j}.bias']) for j in range(self.half)]
        self.head_norm = layer_norm(p.below('output_layer.0.'), 4)
        self.head_weight, self.head_bias = p['output_layer.2.weight'], p['output_layer.2.bias']

    def features(self, image, y, lower):
        """All that the next stage collects: the input of the first block and every block's output, [B,H,W,D]."""
        x = F.avg_pool2d(image, self.area) if self.area > 1 else image
        x = F.conv2d(x, self.patch_weight, self.patch_bias, stride=self.patch_weight.shape[-1])
        x = x.permute(0, 2, 3, 1).contiguous()
        b, h, w, d = x.shape
        x += self.positions[:h, :w]
        if self.upsample is not None:
            x += self.upsample(lower)
        if self.transformer:
            x = x.reshape(b, h * w, d)
            if self.classes is not None:
                x = torch.cat([self.classes[y][:, None], x], 1)

        collected, stack = [x], []
        for j, (first, second) in enumerate(self.blocks):
            if j > self.half:
                weight, bias = self.skips[j - self.half - 1]
                x = F.linear(torch.cat([x, stack.pop()], -1), weight, bias)
            x = first(x).add_(x)
            x = second(x).add_(x)
            collected.append(x)
            if j < self.half:
                stack.append(x)
        if self.transformer:
            start = 0 if self.classes is None else 1
            collected = [f[:, start:].reshape(b, h, w, d) for f in collected]
        return collected

    def head(self, x):
        weight = self.head_weight
        return F.conv2d(self.head_norm(x).permute(0, 3, 1, 2), weight, self.head_bias, padding=weight.shape[-1] // 2)


class DiMR:
    """The network with everything that depends on time only already computed for @log_snr [1 or B]."""

    def __init__(self, config, tensors, log_snr):
        p = Parameters(tensors, log_snr)
        stages = config['stage_configs']
        self.stages = [Stage(p.below(f'stages.{i}.'), config, s, stages[i - 1] if i else None)
                       for i, s in enumerate(stages)]

    def __call__(self, x, y, every_head=False):
        """Noise predictions [B,C,h,w]: the last stage's, or a list with every stage's."""
        features, outputs = None, []
        for stage in self.stages:
            features = stage.features(x, y, features)
            if every_head or stage is self.stages[-1]:
                outputs.append(stage.head(features[-1]))
        return outputs if every_head else outputs[0]


def load_model(folder):
    config = json.loads((Path(folder) / 'config.json').read_text())
    tensors = {k: v.float() for k, v in load_file(str(Path(folder) / 'model.safetensors')).items()}
    return config, tensors


def shared_time(log_snr):
    return log_snr[:1] if bool((log_snr == log_snr[0]).all()) else log_snr


@torch.inference_mode()
def check(folder, tolerance=2e-5):
    folders = sorted(d.parent for d in Path(folder).glob('*/forward.safetensors')
                     if json.loads((d.parent / 'config.json').read_text()).get('model') == 'MRModel')
    if not folders:
        sys.exit(f'no forward cases below {folder}')
    failed = 0
    for case_folder in folders:
        config, tensors = load_model(case_folder)
        cases = load_file(str(case_folder / 'forward.safetensors'))
        worst, n = 0.0, 0
        for name in sorted({k.rsplit('.', 1)[0] for k in cases if k.endswith('.x')}):
            log_snr = shared_time(cases[f'{name}.log_snr'])
            outputs = DiMR(config, tensors, log_snr)(cases[f'{name}.x'], cases.get(f'{name}.y'), every_head=True)
            for i, out in enumerate(outputs):
                worst = max(worst, float((out - cases[f'{name}.out{i}']).abs().max()))
                n += 1
        failed += not worst <= tolerance
        print(f'{"ok    " if worst <= tolerance else "FAILED"} {case_folder.name}: {n} outputs, worst error {worst:.2g}')
    sys.exit(1 if failed else 0)


@torch.inference_mode()
def serve(model, input_path, output_path, threads):
    torch.set_num_threads(threads)
    config, tensors = load_model(model)
    case = load_file(input_path)
    x, y = case['x'], case['y']
    network = DiMR(config, tensors, shared_time(case['log_snr']))
    save_file({'out': network(x, y).contiguous()}, output_path)
    print(json.dumps({'ready': f'PyTorch {torch.__version__} eager float32, {torch.get_num_threads()} threads'}),
          flush=True)
    for line in sys.stdin:
        word, _, count = line.strip().partition(' ')
        if word != 'run':
            sys.exit(f'unknown request {line!r}')
        times = []
        for _ in range(int(count)):
            start = time.perf_counter()
            network(x, y)
            times.append((time.perf_counter() - start) * 1e3)
        print(json.dumps({'ms': statistics.median(times)}), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument('--check', metavar='DIR')
    what.add_argument('--serve', nargs=4, metavar=('MODEL', 'INPUT', 'OUTPUT', 'THREADS'))
    args = parser.parse_args()
    if args.check:
        check(args.check)
    model, input_path, output_path, threads = args.serve
    serve(model, input_path, output_path, int(threads))


if __name__ == '__main__':
    main()
