#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times what the libraries behind PyTorch need for the products and the attention of DiMR-XL/2R in bfloat16.

These are the rates that kernels of our own would have to reach: products at the rows of one guided evaluation at batch 1
and at batch 32, and attention over 257 tokens by every backend that takes it. Prints a table and writes JSON.

  libraries.py --device cuda --output libraries.json
  libraries.py --device cpu --rows 32 --heads 2        tries the script
"""
import argparse
import json
import statistics
import time

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

PRODUCTS = [(n, k) for n in (960, 2880, 3072, 3840) for k in (960, 1920)]
TOKENS, WIDTH = 257, 64
BACKENDS = {
    'cudnn': SDPBackend.CUDNN_ATTENTION,
    'flash': SDPBackend.FLASH_ATTENTION,
    'efficient': SDPBackend.EFFICIENT_ATTENTION,
}


def repeat(run, device, n):
    """A function that runs it n times; on a GPU as one graph, so that nobody waits for Python."""
    def runs():
        for _ in range(n):
            run()

    if device != 'cuda':
        return runs
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        runs()
    return graph.replay


def seconds_of(run, device, samples=9, each=0.02):
    """Median of samples, each of as many runs as take a good while."""
    def measure(runs):
        if device != 'cuda':
            begin = time.perf_counter()
            runs()
            return time.perf_counter() - begin
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        runs()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 1e3

    run()
    few = repeat(run, device, 3)
    measure(few)
    n = max(1, min(1000, int(each / max(measure(few) / 3, 1e-6))))
    many = repeat(run, device, n)
    return statistics.median(measure(many) / n for _ in range(samples))


def time_products(rows, device):
    for m in rows:
        for n, k in PRODUCTS:
            x = torch.randn(m, k, device=device, dtype=torch.bfloat16)
            w, b = torch.randn(n, k, device=device, dtype=torch.bfloat16), torch.randn(n, device=device, dtype=torch.bfloat16)
            s = seconds_of(lambda: torch.nn.functional.linear(x, w, b), device)
            yield {'what': 'product', 'm': m, 'n': n, 'k': k, 'seconds': s, 'flops_per_second': 2 * m * n * k / s}


def time_attention(heads, device):
    for h in heads:
        q, k, v = (torch.randn(1, h, TOKENS, WIDTH, device=device, dtype=torch.bfloat16) for _ in range(3))
        for name, backend in BACKENDS.items():
            try:
                with sdpa_kernel(backend):
                    s = seconds_of(lambda: torch.nn.functional.scaled_dot_product_attention(q, k, v), device)
            except RuntimeError as error:
                yield {'what': 'attention', 'heads': h, 'backend': name, 'error': str(error).split('\n', 1)[0]}
                continue
            yield {'what': 'attention', 'heads': h, 'backend': name, 'seconds': s,
                   'flops_per_second': 4 * h * TOKENS * TOKENS * WIDTH / s}


def numbers(text):
    return [int(word) for word in text.split(',')]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n', 1)[0])
    parser.add_argument('--device', default='cuda', choices=['cuda', 'cpu'])
    parser.add_argument('--rows', type=numbers, default=None, metavar='M,M', help='of the products (512,514,16448)')
    parser.add_argument('--heads', type=numbers, default=None, metavar='H,H', help='of all images together (32,2048)')
    parser.add_argument('--output', metavar='FILE', help='JSON')
    options = parser.parse_args()
    small = options.device == 'cpu'
    rows, heads = options.rows or ([32] if small else [512, 514, 16448]), options.heads or ([2] if small else [32, 2048])
    name = torch.cuda.get_device_name() if options.device == 'cuda' else 'CPU'
    results = []
    with torch.inference_mode():
        for measure, sizes in ((time_products, rows), (time_attention, heads)):
            for result in measure(sizes, options.device):
                results.append(result)
                what = ' '.join(f'{key} {value}' for key, value in result.items()
                                if key not in ('what', 'seconds', 'flops_per_second', 'error'))
                figures = result.get('error') or f'{1e6 * result["seconds"]:9.1f} us {result["flops_per_second"] / 1e12:8.2f} TFLOP/s'
                print(f'{result["what"]:10} {what:28} {figures}', flush=True)
                if options.output:
                    with open(options.output, 'w') as file:
                        json.dump({'torch': torch.__version__, 'device': name, 'results': results}, file, indent=1)


if __name__ == '__main__':
    main()
