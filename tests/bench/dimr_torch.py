#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""DiMR's forward pass in PyTorch: the opponent of the side-by-side measurement.

Written for this project and meant to be as fast as PyTorch gets without tricks that a careful user
would not know: what depends on time only is computed before the clock starts, attention is the fused
one, ConvNeXt features stay channels-last, the heads that sampling does not use are left out, and the
conditional and unconditional halves are one batch. Modes:

  eager-f32      float32 throughout, without TF32
  eager-bf16     weights and activations in bfloat16
  compile-f32, compile-bf16
                 the same under torch.compile, whole graph: max-autotune on a GPU (CUDA graphs included),
                 the default mode with frozen weights on a CPU

  dimr_torch.py --check DIR      compare eager-f32 with the reference forward cases below DIR
  dimr_torch.py --serve MODEL DEVICE MODE THREADS   the protocol of README.md
"""
import argparse
import json
import math
import statistics
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from tensors import load_file, load_model, save_file

MODES = ('eager-f32', 'eager-bf16', 'compile-f32', 'compile-bf16')
LAYER_NORM_EPS = 1e-5
RMS_EPS = 1e-8


class Parameters:
    """The tensors of a checkpoint under a prefix; those that depend on time are evaluated there, in float32."""

    def __init__(self, tensors, log_snr=None, prefix=''):
        self.tensors, self.log_snr, self.prefix = tensors, log_snr, prefix

    def __getitem__(self, name):
        return self.tensors[self.prefix + name].float()

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


def constant(tensor):
    """A parameter, so that torch.compile knows that it stays where it is."""
    return nn.Parameter(tensor.contiguous(), requires_grad=False)


class LayerNorm(nn.Module):
    def __init__(self, p, feature_dims):
        super().__init__()
        self.weight, self.bias = (constant(p.at_time(name, feature_dims)) for name in ('weight', 'bias'))

    def forward(self, x):
        if self.weight.dim() == 1:
            return F.layer_norm(x, self.weight.shape, self.weight, self.bias, LAYER_NORM_EPS)
        return F.layer_norm(x, x.shape[-1:], None, None, LAYER_NORM_EPS) * self.weight + self.bias


class RMSNorm(nn.Module):
    """scale x / (|x| / sqrt(D) + eps)"""

    def __init__(self, p, feature_dims):
        super().__init__()
        scale = p.at_time('scale', feature_dims)
        root = math.sqrt(scale.shape[-1])
        self.scale, self.eps = constant(scale * root), RMS_EPS * root

    def forward(self, x):
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32).add_(self.eps).reciprocal_()
        if x.dtype == torch.float32:
            return (x * norm).mul_(self.scale)
        return (x * norm.to(x.dtype)).mul_(self.scale)


def block_norm(p, kind, feature_dims):
    if kind == 'LN':
        return LayerNorm(p, feature_dims)
    if kind not in ('TDRMSN', 'RMSN'):
        raise ValueError(f'norm_type {kind} is not measured here')
    return RMSNorm(p, feature_dims)


class Linear(nn.Module):
    def __init__(self, weight, bias=None):
        super().__init__()
        self.weight, self.bias = constant(weight), None if bias is None else constant(bias)

    def forward(self, x):
        return F.linear(x, self.weight, self.bias)


def linear(p, name):
    return Linear(p[name + '.weight'], p[name + '.bias'] if name + '.bias' in p else None)


class GatedMLP(nn.Module):
    def __init__(self, p, kind, feature_dims):
        super().__init__()
        self.norm = block_norm(p.below('norm.'), kind, feature_dims)
        self.w0, self.w1, self.w2 = (linear(p, f'w{i}') for i in range(3))

    def forward(self, x):
        h = self.norm(x)
        return self.w2(F.gelu(self.w0(h)).mul_(self.w1(h)))


class Attention(nn.Module):
    """@pad: heads are widened with zeros to a multiple of eight, which the fused kernels of a GPU ask for; done
    to the weights once instead of to q, k and v at every call."""

    def __init__(self, p, kind, heads, pad):
        super().__init__()
        qkv, dense = p['query_key_value.weight'], p['dense.weight']
        self.heads, head = heads, dense.shape[1] // heads
        self.width = -(-head // 8) * 8 if pad else head
        self.scale = head ** -0.5
        extra = self.width - head
        if extra:
            d = qkv.shape[1]
            qkv = F.pad(qkv.view(3, heads, head, d), (0, 0, 0, extra)).reshape(-1, d)
            dense = F.pad(dense.view(-1, heads, head), (0, extra)).reshape(dense.shape[0], -1)
        self.norm = block_norm(p.below('norm.'), kind, 3)
        self.qkv, self.dense = Linear(qkv), Linear(dense, p['dense.bias'])

    def forward(self, x):
        b, n, _ = x.shape
        q, k, v = self.qkv(self.norm(x)).view(b, n, 3, self.heads, self.width).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, scale=self.scale)
        return self.dense(y.transpose(1, 2).reshape(b, n, -1))


class Depthwise(nn.Module):
    def __init__(self, p, kernel):
        super().__init__()
        self.weight = nn.Parameter(p['1.weight'].contiguous(memory_format=torch.channels_last), requires_grad=False)
        self.bias, self.kernel = constant(p['1.bias']), kernel

    def forward(self, x):
        y = F.conv2d(x.permute(0, 3, 1, 2), self.weight, self.bias, padding=self.kernel // 2, groups=self.weight.shape[0])
        return y.permute(0, 2, 3, 1)


class Upsample(nn.Module):
    def __init__(self, p, ratio):
        super().__init__()
        self.before, self.after = LayerNorm(p.below('0.'), 4), LayerNorm(p.below('2.'), 4)
        self.kernel, self.ratio = linear(p, '1.kernel'), ratio

    def forward(self, features):
        y = self.kernel(self.before(torch.cat(features, -1)))
        b, h, w, c = y.shape
        y = y.view(b, h, w, self.ratio, self.ratio, c // self.ratio ** 2).transpose(2, 3)
        return self.after(y.reshape(b, h * self.ratio, w * self.ratio, -1))


class Block(nn.Module):
    def __init__(self, first, second):
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x):
        x = self.first(x).add_(x)
        return self.second(x).add_(x)


class Stage(nn.Module):
    def __init__(self, p, config, stage, lower, pad):
        super().__init__()
        self.transformer = stage['block_type'].startswith('Transformer')
        dims = 3 if self.transformer else 4
        kind = config['norm_type']
        n = stage['num_blocks'] // 2 * 2 + 1
        self.half = n // 2

        self.area = stage.get('image_input_ratio', 1)
        self.patch_weight, self.patch_bias = constant(p['input_layer.1.weight']), constant(p['input_layer.1.bias'])
        self.positions = constant(p['input_layer.3.position_embeddings.weight'].view(
            stage['max_height'], stage['max_width'], -1))
        self.classes = (constant(p['class_embeds.weight']) if self.transformer and 'class_embeds.weight' in p else None)
        self.upsample = Upsample(p.below('upsample.'), stage['max_height'] // lower['max_height']) if lower else None
        self.blocks = nn.ModuleList()
        for j in range(n):
            b = p.below(f'blocks.{j}.')
            first = (Attention(b.below('block1.'), kind, stage['num_attention_heads'], pad) if self.transformer
                     else Depthwise(b.below('block1.'), stage.get('kernel_size', 7)))
            self.blocks.append(Block(first, GatedMLP(b.below('block2.'), kind, dims)))
        self.skips = nn.ModuleList(linear(p, f'skip_denses.{j}') for j in range(self.half))
        self.head_norm = LayerNorm(p.below('output_layer.0.'), 4)
        self.head_weight, self.head_bias = constant(p['output_layer.2.weight']), constant(p['output_layer.2.bias'])

    def features(self, image, y, lower):
        """All that the next stage collects: the input of the first block and every block's output, [B,H,W,D]."""
        x = F.avg_pool2d(image, self.area) if self.area > 1 else image
        x = F.conv2d(x, self.patch_weight, self.patch_bias, stride=self.patch_weight.shape[-1])
        x = x.permute(0, 2, 3, 1).contiguous()
        b, h, w, d = x.shape
        x = x + self.positions[:h, :w]
        if self.upsample is not None:
            x = x + self.upsample(lower)
        if self.transformer:
            x = x.reshape(b, h * w, d)
            if self.classes is not None:
                x = torch.cat([self.classes[y][:, None], x], 1)

        collected, stack = [x], []
        for j, block in enumerate(self.blocks):
            if j > self.half:
                x = self.skips[j - self.half - 1](torch.cat([x, stack.pop()], -1))
            x = block(x)
            collected.append(x)
            if j < self.half:
                stack.append(x)
        if self.transformer:
            start = 0 if self.classes is None else 1
            collected = [f[:, start:].reshape(b, h, w, d) for f in collected]
        return collected

    def head(self, x):
        return F.conv2d(self.head_norm(x).permute(0, 3, 1, 2), self.head_weight, self.head_bias,
                        padding=self.head_weight.shape[-1] // 2)


class DiMR(nn.Module):
    """The network with everything that depends on time only already computed for @log_snr [1 or B]."""

    def __init__(self, config, tensors, log_snr, pad=False):
        super().__init__()
        p = Parameters(tensors, log_snr)
        stages = config['stage_configs']
        self.stages = nn.ModuleList(Stage(p.below(f'stages.{i}.'), config, s, stages[i - 1] if i else None, pad)
                                    for i, s in enumerate(stages))

    def forward(self, x, y, every_head=False):
        """Noise predictions [B,C,h,w]: the last stage's, or a list with every stage's."""
        features, outputs = None, []
        for i, stage in enumerate(self.stages):
            features = stage.features(x, y, features)
            if every_head or i == len(self.stages) - 1:
                outputs.append(stage.head(features[-1]))
        return outputs if every_head else outputs[0]


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
        cases = load_file(case_folder / 'forward.safetensors')
        worst, n = 0.0, 0
        for name in sorted({k.rsplit('.', 1)[0] for k in cases if k.endswith('.x')}):
            log_snr = shared_time(cases[f'{name}.log_snr'])
            for pad in (False, True):
                outputs = DiMR(config, tensors, log_snr, pad)(cases[f'{name}.x'], cases.get(f'{name}.y'), every_head=True)
                for i, out in enumerate(outputs):
                    worst = max(worst, float((out - cases[f'{name}.out{i}']).abs().max()))
                    n += 1
        failed += not worst <= tolerance
        print(f'{"ok    " if worst <= tolerance else "FAILED"} {case_folder.name}: {n} outputs, worst error {worst:.2g}')
    sys.exit(1 if failed else 0)


class Server:
    """Answers one line with one line of JSON: README.md says which."""

    def __init__(self, model, device, mode):
        self.config, self.tensors = load_model(model)
        self.device, self.mode = torch.device(device), mode
        self.on_gpu = self.device.type != 'cpu'
        self.dtype = torch.bfloat16 if mode.endswith('bf16') else torch.float32
        self.compiled = mode.startswith('compile')
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.benchmark = True

    def describe(self):
        where = torch.cuda.get_device_name(self.device) if self.on_gpu else f'{torch.get_num_threads()} threads'
        return {'ready': f'PyTorch {torch.__version__} {self.mode}, {where}'}

    def wait(self):
        if self.on_gpu:
            torch.cuda.synchronize(self.device)

    def prepare(self, input_path, output_path):
        """A new batch: builds (and compiles) the network, evaluates once, writes `out`."""
        self.network = self.call = None
        torch._dynamo.reset()
        case = load_file(input_path)
        began = time.perf_counter()
        network = DiMR(self.config, self.tensors, shared_time(case['log_snr']), pad=self.on_gpu)
        self.network = network.to(self.device, self.dtype).eval()
        self.x = case['x'].to(self.device, self.dtype)
        self.y = case['y'].to(self.device)
        self.call = self.network
        if self.compiled:
            if not self.on_gpu:
                torch._inductor.config.freezing = True
            self.call = torch.compile(self.network, fullgraph=True, dynamic=False,
                                      mode='max-autotune' if self.on_gpu else None)
        # Three: CUDA graphs are recorded at the second call.
        for _ in range(3 if self.compiled else 1):
            out = self.call(self.x, self.y)
            self.wait()
        seconds = time.perf_counter() - began
        save_file({'out': out.float()}, output_path)
        return {'case': len(self.x), 'seconds': seconds}

    def run(self, n):
        """On the CPU the median of @n evaluations; on a GPU the mean of @n that nobody waits for in between."""
        times = []
        self.wait()
        began = time.perf_counter()
        for _ in range(n):
            start = time.perf_counter()
            self.call(self.x, self.y)
            times.append(time.perf_counter() - start)
        self.wait()
        return {'ms': 1e3 * ((time.perf_counter() - began) / n if self.on_gpu else statistics.median(times))}

    def memory(self):
        if self.on_gpu:
            return {'peak_bytes': torch.cuda.max_memory_allocated(self.device),
                    'reserved_bytes': torch.cuda.max_memory_reserved(self.device)}
        lines = Path('/proc/self/status').read_text().splitlines()
        return {'peak_bytes': next((1024 * int(line.split()[1]) for line in lines if line.startswith('VmHWM')), 0)}

    def answer(self, words):
        if words[0] == 'case' and len(words) == 3:
            return self.prepare(words[1], words[2])
        if words[0] == 'run' and len(words) == 2:
            return self.run(int(words[1]))
        if words == ['memory']:
            return self.memory()
        return {'error': f'unknown request {words}'}


def serve(model, device, mode, threads):
    if mode not in MODES:
        sys.exit(f'the modes are {", ".join(MODES)}')
    if threads:
        torch.set_num_threads(threads)
    server = Server(model, device, mode)
    # Frozen weights need no_grad; eager evaluation is a little faster without version counters.
    with torch.no_grad() if server.compiled else torch.inference_mode():
        print(json.dumps(server.describe()), flush=True)
        for line in sys.stdin:
            try:
                answer = server.answer(line.rstrip('\n').split('\t'))
            except Exception as error:  # an opponent that fails is recorded, and the others go on
                answer = {'error': f'{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ""}'}
            print(json.dumps(answer), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument('--check', metavar='DIR')
    what.add_argument('--serve', nargs=4, metavar=('MODEL', 'DEVICE', 'MODE', 'THREADS'))
    args = parser.parse_args()
    if args.check:
        check(args.check)
    model, device, mode, threads = args.serve
    serve(model, device, mode, int(threads))


if __name__ == '__main__':
    main()
