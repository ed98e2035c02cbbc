#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The rows of the paper's Tables 2 and 3 in the small: each form is trained with the same budget on the
same pictures, and the mean square of the full-resolution branch on the validation pictures is printed. With
`--pictures N`, N pictures of each class are made with each form, and their Fréchet distance to the
validation pictures by the program's own classifier (`dimr fid`; not Inception's numbers) and how often it
names the class asked for (`dimr score`) are printed too; the folders of `--data` are then called after
WordNet ids. What to look at is the order of the effects, not the figures.

  ablations.py --program build/dev/app/dimr --data PICTURES --validation PICTURES --output runs --steps 3000
  ablations.py --program build/dev/app/dimr --data train --validation val --output runs --config CONFIG --pictures 50
  ablations.py --program build/dev/app/dimr --data drawn --validation drawn --output runs --only base,no-glu
  ablations.py --configs --output forms
"""
import argparse
import copy
import csv
import json
import subprocess
from pathlib import Path

BASE = Path(__file__).resolve().parents[2] / 'data' / 'training' / 'demo.json'


def stage(config, i, **changes):
    config['stage_configs'][i].update(changes)


def no_multi_scale_loss(config):
    config['loss_coeffs'] = [0] * (len(config['stage_configs']) - 1) + [1]


def single_resolution(config):
    """The last branch, which sees the noisy picture and nothing of lower ones; far smaller than the whole."""
    config['stage_configs'] = config['stage_configs'][-1:]
    config['loss_coeffs'] = [1]


# name: (what it is, change of the configuration)
FORMS = {
    'base': ('TD-LN, gated MLP, three branches, multi-scale loss', lambda c: None),
    'base-again': ('the same from another seed: differences as small as this one mean nothing', lambda c: None),
    'adaln-zero': ('Table 2: AdaLN-Zero in place of the time-dependent norms', lambda c: c.update(norm_type='ADALN_ZERO')),
    'constant-norm': ('Table 2: norms that do not know the time', lambda c: c.update(norm_type='RMSN')),
    'layer-norm': ('Table 2: time-dependent layer norm in place of RMS norm', lambda c: c.update(norm_type='LN')),
    'no-glu': ('Table 2: plain MLP in place of the gated one', lambda c: c.update(mlp_type='GELU')),
    'no-multi-scale-loss': ('Table 2: loss of the last branch alone', no_multi_scale_loss),
    'convnext-first': ('Table 3: ConvNeXt in the first branch', lambda c: stage(c, 0, block_type='ConvNeXtBlock')),
    'concat': ('Table 3: the cascade concatenates', lambda c: c.update(cascade='concat')),
    'branch-skips': ('Table 3: skips between branches', lambda c: c.update(branch_skips=True)),
    'one-branch': ('Table 3: the full-resolution branch alone', single_resolution),
}


def write_config(path, change, base):
    config = copy.deepcopy(base)
    change(config)
    config.pop('training', None)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(config, indent=1) + '\n')


def train(arguments, name, change, base):
    run = Path(arguments.output) / name
    if not (run / 'run.json').exists():
        write_config(run / 'config.json', change, base)
        command = ['--config', run / 'config.json', '--data', arguments.data, '--validation', arguments.validation]
    else:
        command = ['--resume']
    subprocess.run([arguments.program, 'train', '--output', run, *command, '--steps', str(arguments.steps), '--batch', str(arguments.batch),
                    '--lr', str(arguments.lr), '--warmup', str(arguments.steps // 20), '--decay', 'cosine', '--ema', '0.999',
                    '--snapshot-every', str(arguments.steps), '--validate-n', '2048', '--precision', arguments.precision,
                    '--seed', '1' if name == 'base-again' else '0', '--threads', str(arguments.threads), '--log-every', '50'], check=True)
    with open(run / 'log.csv', newline='') as file:
        rows = [row for row in csv.DictReader(file) if row['validation_loss']]
    last = max(key for key in rows[-1] if key.startswith('validation_branch'))
    return float(rows[-1][last])


def count_parameters(arguments, name):
    lines = subprocess.run([arguments.program, 'info', Path(arguments.output) / name / 'config.json', '--json'], check=True,
                           stdout=subprocess.PIPE, text=True).stdout
    return json.loads(lines.splitlines()[0])['parameters']


def judge(arguments, name):
    """Fréchet distance and share of pictures whose class the classifier names, of pictures made with the last snapshot."""
    run = Path(arguments.output) / name
    model, pictures = max(run.glob('step-*')), run / 'pictures'
    classes = ','.join(sorted(folder.name for folder in Path(arguments.data).iterdir() if folder.is_dir()))
    subprocess.run([arguments.program, 'generate', '--model', model, '--class', classes, '--count', str(arguments.pictures), '--seed', '0',
                    '--cfg', str(arguments.cfg), '--threads', str(arguments.threads), '--out', pictures, '--quiet'], check=True, stdout=subprocess.DEVNULL)
    answers = {}
    for command in (['fid', pictures, arguments.validation], ['score', pictures]):
        if arguments.classifier:
            command += ['--model', arguments.classifier]
        lines = subprocess.run([arguments.program, *command, '--json', '--quiet'], check=True, stdout=subprocess.PIPE, text=True).stdout
        for line in lines.splitlines():
            event = json.loads(line)
            answers[event['event']] = event
    return answers['fid']['distance'], answers['score']['top1_among_asked']


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--program', help='dimr')
    parser.add_argument('--data')
    parser.add_argument('--validation')
    parser.add_argument('--output', required=True)
    parser.add_argument('--configs', action='store_true', help='only write OUTPUT/FORM.json, for `dimr train --config`')
    parser.add_argument('--config', default=BASE, help='of the base form')
    parser.add_argument('--steps', type=int, default=3000)
    parser.add_argument('--batch', type=int, default=64)
    parser.add_argument('--lr', type=float, default=1e-3)
    parser.add_argument('--precision', default='f32')
    parser.add_argument('--threads', type=int, default=0, help='of the processor; 0 for one a core')
    parser.add_argument('--pictures', type=int, default=0, help='of each class, to be judged; 0 for none')
    parser.add_argument('--classifier', help='in place of the one that comes with the program')
    parser.add_argument('--cfg', type=float, default=2)
    parser.add_argument('--only', help='names with commas between them')
    arguments = parser.parse_args()
    base = json.loads(Path(arguments.config).read_text())
    names = arguments.only.split(',') if arguments.only else list(FORMS)
    if arguments.configs:
        for name in names:
            write_config(Path(arguments.output) / f'{name}.json', FORMS[name][1], base)
        return
    if not (arguments.program and arguments.data and arguments.validation):
        parser.error('--program, --data and --validation are needed to train')
    rows = []
    for name in names:
        value = train(arguments, name, FORMS[name][1], base)
        rows.append([name, f'{count_parameters(arguments, name) / 1e6:.2f} M', f'{value:.5f}', FORMS[name][0]])
        if arguments.pictures:
            distance, share = judge(arguments, name)
            rows[-1][3:3] = [f'{distance:.2f}', f'{100 * share:.1f} %']
    columns = ['form', 'parameters', 'mean square', *(['Fréchet distance', 'class named'] if arguments.pictures else []), 'what it is']
    print(f'\n{arguments.steps} steps of {arguments.batch}; mean square of the full-resolution branch on validation pictures\n')
    for row in (columns, ['---'] * len(columns), *rows):
        print('| ' + ' | '.join(row) + ' |')


if __name__ == '__main__':
    main()
