# SPDX-License-Identifier: Apache-2.0
"""safetensors files with nothing but torch: machines that one borrows rarely have the package."""
import json
import math
import mmap
import struct
from pathlib import Path

import torch

DTYPES = {'F64': torch.float64, 'F32': torch.float32, 'F16': torch.float16, 'BF16': torch.bfloat16,
          'I64': torch.int64, 'I32': torch.int32, 'U8': torch.uint8, 'BOOL': torch.bool}
NAMES = {dtype: name for name, dtype in DTYPES.items()}


def load_file(path):
    """name -> tensor, each a copy of its own."""
    with open(path, 'rb') as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        length = struct.unpack('<Q', data[:8])[0]
        header = json.loads(data[8:8 + length])
        tensors = {}
        for name, entry in header.items():
            if name == '__metadata__':
                continue
            begin, end = (8 + length + offset for offset in entry['data_offsets'])
            flat = torch.frombuffer(bytearray(data[begin:end]), dtype=DTYPES[entry['dtype']]) if end > begin else \
                torch.empty(0, dtype=DTYPES[entry['dtype']])
            tensors[name] = flat.view(entry['shape'])
        return tensors


def save_file(tensors, path):
    """Tensors in the order given; the data begins on a multiple of eight."""
    header, offset = {}, 0
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    for name, tensor in tensors.items():
        size = tensor.numel() * tensor.element_size()
        header[name] = {'dtype': NAMES[tensor.dtype], 'shape': list(tensor.shape), 'data_offsets': [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b' ' * (math.ceil(len(text) / 8) * 8 - len(text))
    with open(path, 'wb') as file:
        file.write(struct.pack('<Q', len(text)) + text)
        for tensor in tensors.values():
            file.write(tensor.view(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b'')


def load_model(folder):
    """config.json as a dictionary, and the tensors of model.safetensors."""
    return (json.loads((Path(folder) / 'config.json').read_text()), load_file(Path(folder) / 'model.safetensors'))
