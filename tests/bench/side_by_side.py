#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times one guided network evaluation of DiMR Studio against PyTorch on the same device, side by side.

All sides are processes that stay alive and are asked in turn, A B C A B C ..., for a block of
evaluations, so that a slow minute of the machine falls on all of them. What counts is the ratio
within a round. The outputs are compared before anything is timed. README.md says what is measured,
and the protocol.

  side_by_side.py --program build/dev/tests/bench/bench-forward --model data/models/starter
  side_by_side.py --program ... --variant DiMR-XL/2R --device cuda --batches 1,8,32,64 --output result.json
  side_by_side.py --against-itself --model ...     PyTorch on both sides: how far ratios stray by chance
"""
import argparse
import datetime
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from dimr_torch import MODES
from make_model import VARIANTS, make_model
from tensors import load_file, save_file

HERE = Path(__file__).resolve().parent
# Relative L2 distance from float32 PyTorch; more, and a side is not timed.
BOUNDS = {'f32': 1e-4, 'bf16': 3e-2}
REFERENCE = 'eager-f32'
# Worker threads of a side that has answered go on spinning for a while; they must not be timed.
PAUSE_S = {'cpu': 0.3, 'cuda': 0.02}
MIN_ROUNDS = 3
MAX_BLOCK = 500


class Failed(Exception):
    pass


class Side:
    """A process that answers one line with one line of JSON."""

    def __init__(self, name, command, threads):
        self.name, self.precision = name, name.rsplit('-', 1)[1]
        environment = dict(os.environ, OMP_NUM_THREADS=str(threads)) if threads else None
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        self.description = self.answer()['ready']

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise Failed(f'ended with status {self.process.wait()}')
        answer = json.loads(line)
        if 'error' in answer:
            raise Failed(answer['error'])
        return answer

    def ask(self, *words):
        try:
            self.process.stdin.write('\t'.join(map(str, words)) + '\n')
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Failed(f'ended with status {self.process.wait()}') from None
        return self.answer()

    def close(self):
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
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
               'y': torch.cat([y, torch.full_like(y, null)])}, path)


def distance(a, b):
    """Relative L2."""
    return float((a.double() - b.double()).norm() / b.double().norm())


def cpu_name():
    try:
        for line in Path('/proc/cpuinfo').read_text().splitlines():
            if line.startswith('model name'):
                return line.split(':', 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def gpu_state():
    """Clocks, power and temperature, read only; nothing where the tool is missing."""
    tool = shutil.which('nvidia-smi')
    if not tool:
        return None
    fields = 'name,driver_version,clocks.sm,clocks.mem,power.draw,temperature.gpu,memory.used'
    result = subprocess.run([tool, f'--query-gpu={fields}', '--format=csv,noheader'], capture_output=True, text=True)
    return result.stdout.strip() if result.returncode == 0 else None


def describe_machine(device):
    machine = {'cpu': cpu_name(), 'cpus': os.cpu_count(), 'system': f'{platform.system()} {platform.release()}',
               'python': platform.python_version(), 'torch': torch.__version__}
    if device != 'cpu':
        machine |= {'gpu': torch.cuda.get_device_name(device), 'cuda': torch.version.cuda,
                    'cudnn': torch.backends.cudnn.version()}
    return machine


def summary(values):
    values = sorted(values)
    n = len(values)
    return {'median': statistics.median(values), 'p10': values[(n - 1) // 10], 'p90': values[n - 1 - (n - 1) // 10],
            'min': values[0], 'max': values[-1], 'n': n}


def show(s):
    return f'{s["median"]:.3f} ({s["p10"]:.3f} to {s["p90"]:.3f})'


def start_sides(args, model):
    """Those that start; a side that does not is told and left out."""
    torch_command = [sys.executable, str(HERE / 'dimr_torch.py'), '--serve', str(model), args.device]
    commands = {}
    for precision in args.ours:
        commands[f'ours-{precision}'] = (
            [*torch_command, f'eager-{precision}', str(args.threads)] if args.against_itself
            else [args.program, str(model), args.device, precision, str(args.threads)])
    for mode in args.opponents:
        commands[mode] = [*torch_command, mode, str(args.threads)]
    sides = []
    for name, command in commands.items():
        try:
            sides.append(Side(name, command, args.threads))
            print(f'{name:14} {sides[-1].description}', flush=True)
        except (Failed, OSError) as failure:
            print(f'{name:14} does not start: {failure}', flush=True)
    return sides


def prepare(sides, case, folder):
    """What each side needs before its first result, and how far that is from the reference."""
    prepared, outputs = {}, {}
    for side in sides:
        path = Path(folder) / f'{side.name}.safetensors'
        try:
            prepared[side.name] = {'prepare_seconds': side.ask('case', case, path)['seconds']}
            outputs[side.name] = load_file(path)['out']
        except Failed as failure:
            prepared[side.name] = {'error': str(failure)}
    reference = REFERENCE if REFERENCE in outputs else next((name for name in outputs if name.endswith('f32')), None)
    for side in sides:
        entry = prepared[side.name]
        if side.name in outputs and reference:
            entry['relative_l2'] = distance(outputs[side.name], outputs[reference])
            if not entry['relative_l2'] <= BOUNDS[side.precision]:
                entry['error'] = (f'relative L2 {entry["relative_l2"]:.2g} from {reference}, more than '
                                  f'{BOUNDS[side.precision]}: not timed')
        elif side.name in outputs:
            entry['error'] = 'no float32 side to compare with: not timed'
        print(f'  {side.name:14} ' + (entry.get('error') or
              f'ready in {entry["prepare_seconds"]:.1f} s, relative L2 {entry["relative_l2"]:.2g}'), flush=True)
    return prepared


def measure(sides, args, seconds, rounds, store):
    """Fills @rounds, side -> milliseconds of every round, and calls @store after each."""
    blocks, ended = {}, time.monotonic() + seconds
    kind = args.device.split(':')[0]
    for side in sides:
        side.ask('run', 1)
        blocks[side.name] = max(1, min(MAX_BLOCK, round(1e3 * args.block / side.ask('run', 2)['ms'])))
    for i in range(args.rounds):
        if i >= MIN_ROUNDS and time.monotonic() > ended:
            break
        # Who begins goes round: nobody always follows the same one's heat.
        for side in sides[i % len(sides):] + sides[:i % len(sides)]:
            time.sleep(PAUSE_S.get(kind, 0))
            rounds[side.name].append(side.ask('run', blocks[side.name])['ms'])
        print(f'  round {i + 1:3}: ' + '   '.join(f'{name} {times[-1]:9.3f} ms' for name, times in rounds.items())
              + f'   load {os.getloadavg()[0]:.1f}', flush=True)
        store()


def compare(rounds):
    """opponent -> ratios opponent/ours of the same precision, round by round."""
    ratios = {}
    for name, times in rounds.items():
        ours = rounds.get('ours-' + name.rsplit('-', 1)[1])
        if ours and times and not name.startswith('ours'):
            ratios[name] = summary([theirs / own for theirs, own in zip(times, ours)])
    return ratios


def run_batch(sides, args, model, batch, folder, seconds, result, store):
    """Fills @result as it goes: what a run had when it was stopped is stored."""
    case = Path(folder) / 'case.safetensors'
    write_case(model, batch, case)
    print(f'{batch} picture(s) with guidance = batch {2 * batch}', flush=True)
    result |= {'batch': batch, 'samples': 2 * batch, 'sides': prepare(sides, case, folder), 'gpu_before': gpu_state()}
    sound = [side for side in sides if 'error' not in result['sides'][side.name]]
    rounds = {side.name: [] for side in sound}

    def summarise():
        for side in sound:
            if rounds[side.name]:
                result['sides'][side.name] |= {'ms': summary(rounds[side.name]), 'rounds_ms': rounds[side.name]}
        result['ratios'] = compare(rounds)
        store()

    try:
        measure(sound, args, seconds, rounds, summarise)
        for side in sound:
            result['sides'][side.name] |= side.ask('memory')
    except Failed as failure:
        result['error'] = str(failure)
        print(f'  {failure}: this batch is given up', flush=True)
    result['gpu_after'] = gpu_state()
    store()
    for side in sound:
        if rounds[side.name]:
            print(f'  {side.name:14} ms: {show(result["sides"][side.name]["ms"])}', flush=True)
    for name, ratio in result.get('ratios', {}).items():
        print(f'  {name}/ours (above 1: ours is faster): {show(ratio)}', flush=True)


def parse_list(text, known, what):
    words = text.split(',')
    for word in words:
        if word not in known:
            sys.exit(f'{what} are some of {", ".join(known)}, not "{word}"')
    return words


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ours = parser.add_mutually_exclusive_group(required=True)
    ours.add_argument('--program', help='the built bench-forward')
    ours.add_argument('--against-itself', action='store_true')
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument('--model', help='folder with config.json and model.safetensors')
    model.add_argument('--variant', choices=VARIANTS, help='a model of the paper, with random weights')
    parser.add_argument('--device', default='cpu', help='cpu, cuda or cuda:1 (cpu)')
    parser.add_argument('--ours', default='f32,bf16', help='precisions of DiMR Studio (f32,bf16)')
    parser.add_argument('--opponents', default=','.join(MODES), help=f'of PyTorch ({",".join(MODES)})')
    parser.add_argument('--batches', default='1', help='pictures at a time; the network sees twice as many (1)')
    parser.add_argument('--threads', type=int, default=0, help='of the CPU; 0: as each side likes (0)')
    parser.add_argument('--rounds', type=int, default=20, help='at most (20)')
    parser.add_argument('--block', type=float, default=0.5, help='seconds of a block of evaluations (0.5)')
    parser.add_argument('--budget', type=float, default=600, help='seconds of timing in all; three rounds are always made (600)')
    parser.add_argument('--output', help='JSON file, written anew after every round')
    args = parser.parse_args()
    args.ours = parse_list(args.ours, list(BOUNDS), 'precisions')
    args.opponents = parse_list(args.opponents, MODES, 'opponents')
    args.batches = [int(word) for word in args.batches.split(',')]
    return args


def main():
    args = parse_arguments()
    with tempfile.TemporaryDirectory() as folder:
        model = Path(args.model).resolve() if args.model else Path(folder) / 'model'
        if args.variant:
            make_model(args.variant, model, device=args.device)
        result = {'date': datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds'),
                  'machine': describe_machine(args.device), 'device': args.device, 'threads': args.threads,
                  'model': args.variant or args.model,
                  'command': [Path(word).name if word.startswith('/') else word for word in sys.argv], 'bounds_relative_l2': BOUNDS, 'batches': []}
        print(json.dumps(result['machine']))
        sides = start_sides(args, model)
        result['sides'] = {side.name: side.description for side in sides}

        def store():
            if args.output:
                Path(args.output).write_text(json.dumps(result, indent=1))

        for batch in args.batches:
            result['batches'].append({})
            run_batch(sides, args, model, batch, folder, args.budget / len(args.batches), result['batches'][-1], store)
        for side in sides:
            side.close()
    if not any(batch.get('ratios') for batch in result['batches']):
        sys.exit('nothing could be compared')


if __name__ == '__main__':
    main()
