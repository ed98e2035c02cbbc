#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a variant of the paper's Table 4 with random weights: a model folder that every side can load.

The released weights need not be at hand where speed is measured. Values are of a trained network's
sizes, as those of `dimr bench VARIANT` are (core/model/dimr-synthetic.h), and never zeros.

  make_model.py DiMR-XL/2R FOLDER [--dtype bf16]
"""
import argparse
import json
from pathlib import Path

import torch

from tensors import save_file

# channels, image size, blocks, widths, heads: Tables 4 and 5.
VARIANTS = {
    'DiMR-M/3R': (3, 64, (15, 8, 8), (768, 384, 192), 12),
    'DiMR-L/3R': (3, 64, (33, 17, 17), (768, 384, 192), 12),
    'DiMR-XL/2R': (4, 32, (39, 20), (960, 480), 16),
    'DiMR-XL/3R': (4, 64, (39, 20, 20), (960, 480, 240), 16),
    'DiMR-G/2R': (4, 32, (57, 29), (1152, 576), 16),
}
KERNEL, FINAL_KERNEL, CLASSES = 7, 3, 1001
DEPTHWISE_GAIN = 0.3


def make_config(name):
    channels, size, blocks, widths, heads = VARIANTS[name]
    stages = []
    for i, (n, width) in enumerate(zip(blocks, widths)):
        ratio = 2 ** (len(blocks) - 1 - i)
        stages.append({'block_type': 'ConvNeXtBlock' if i else 'TransformerBlock', 'dim': width, 'hidden_dim': 2 * width,
                       'num_attention_heads': 1 if i else heads, 'num_blocks': n, 'max_height': size // ratio,
                       'max_width': size // ratio, 'image_input_ratio': 1, 'input_feature_ratio': ratio,
                       'final_kernel_size': FINAL_KERNEL, 'kernel_size': KERNEL})
    return {'title': f'{name}, random weights', 'model': 'MRModel', 'channels': channels, 'image_size': size,
            'num_classes': CLASSES, 'norm_type': 'TDRMSN', 'stage_configs': stages}


def in_time(name, width):
    return [(f'{name}.{part}', (width,)) for part in ('param0', 'param1', 'nodecay_weight', 'nodecay_bias')]


def list_parameters(config):
    """(name, shape) of every parameter that a checkpoint has."""
    def add(name, *shape):
        parameters.append((name, shape))

    parameters, lower = [], None
    for i, stage in enumerate(config['stage_configs']):
        p, d, k = f'stages.{i}.', stage['dim'], stage['input_feature_ratio']
        n = stage['num_blocks'] // 2 * 2 + 1
        add(p + 'input_layer.1.weight', d, config['channels'], k, k)
        add(p + 'input_layer.1.bias', d)
        add(p + 'input_layer.3.position_embeddings.weight', stage['max_height'] * stage['max_width'], d)
        if i == 0:
            add(p + 'class_embeds.weight', config['num_classes'], d)
        else:
            below, width, ratio = lower
            ratio = stage['max_height'] // ratio
            for part in ('weight', 'bias'):
                parameters += in_time(f'{p}upsample.0.{part}', below * width) + in_time(f'{p}upsample.2.{part}', d)
            add(p + 'upsample.1.kernel.weight', ratio * ratio * d, below * width)
            add(p + 'upsample.1.kernel.bias', ratio * ratio * d)
        for j in range(n):
            b = f'{p}blocks.{j}.'
            if i == 0:
                parameters += in_time(b + 'block1.norm.scale', d)
                add(b + 'block1.query_key_value.weight', 3 * d, d)
                add(b + 'block1.dense.weight', d, d)
                add(b + 'block1.dense.bias', d)
            else:
                add(b + 'block1.1.weight', d, 1, KERNEL, KERNEL)
                add(b + 'block1.1.bias', d)
            parameters += in_time(b + 'block2.norm.scale', d)
            for w, rows, columns in (('w0', 2 * d, d), ('w1', 2 * d, d), ('w2', d, 2 * d)):
                add(f'{b}block2.{w}.weight', rows, columns)
                add(f'{b}block2.{w}.bias', rows)
        for j in range(n // 2):
            add(f'{p}skip_denses.{j}.weight', d, 2 * d)
            add(f'{p}skip_denses.{j}.bias', d)
        for part in ('weight', 'bias'):
            parameters += in_time(f'{p}output_layer.0.{part}', d)
        add(p + 'output_layer.2.weight', config['channels'], d, FINAL_KERNEL, FINAL_KERNEL)
        add(p + 'output_layer.2.bias', config['channels'])
        lower = (n + 1, d, stage['max_height'])
    return parameters


def spread(name, shape):
    """Mean and standard deviation."""
    if '_embed' in name:
        return 0, 0.1
    if len(shape) >= 2:
        fan_in = torch.Size(shape[1:]).numel()
        return 0, fan_in ** -0.5 * (DEPTHWISE_GAIN if len(shape) == 4 and shape[1] == 1 else 1)
    if '.nodecay_bias' in name:
        return 0, 1
    if '.nodecay_weight' in name:
        return 0, 0.1
    return (1, 0.1) if '.scale' in name or '.weight' in name else (0, 0.02)


def make_model(name, folder, dtype=torch.bfloat16, seed=1, device='cpu'):
    """Matrices as @dtype, vectors as float32; drawn on @device, which decides the values too."""
    generator = torch.Generator(device).manual_seed(seed)
    config = make_config(name)
    tensors = {}
    for parameter, shape in list_parameters(config):
        mean, deviation = spread(parameter, shape)
        value = torch.randn(shape, generator=generator, device=device).mul_(deviation).add_(mean)
        tensors[parameter] = (value.to(dtype) if len(shape) >= 2 else value).cpu()
    Path(folder).mkdir(parents=True, exist_ok=True)
    save_file(tensors, Path(folder) / 'model.safetensors')
    (Path(folder) / 'config.json').write_text(json.dumps(config, indent=1))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('variant', choices=VARIANTS)
    parser.add_argument('folder')
    parser.add_argument('--dtype', choices=('f32', 'bf16'), default='bf16')
    parser.add_argument('--seed', type=int, default=1)
    args = parser.parse_args()
    make_model(args.variant, args.folder, torch.float32 if args.dtype == 'f32' else torch.bfloat16, args.seed)


if __name__ == '__main__':
    main()
