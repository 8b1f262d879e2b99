# SPDX-License-Identifier: GPL-2.0-only
"""Flat kernels: a bzImage whose payload is not compressed.

Three quarters of an emulated boot are the decompression of Debian's kernel. This takes the payload out of a bzImage,
unpacks it, lays its segments out as they lie in memory and puts flat-entry.S before them. What comes
out boots wherever the original does (by the 32-bit boot protocol), without address randomisation.
"""
import lzma
import os
import struct
import subprocess
import zlib

LOAD = 0x1000000        # Debian's kernels are linked to run here
SETUP_SECTS, SYSSIZE, RELOCATABLE, XLOADFLAGS, PAYLOAD = 0x1f1, 0x1f4, 0x234, 0x236, 0x248


def unpack(payload):
    if payload.startswith(b'\xfd7zXZ'):
        return lzma.LZMADecompressor().decompress(payload)
    if payload.startswith(b'\x1f\x8b'):
        return zlib.decompressobj(31).decompress(payload)
    if payload.startswith(b'(\xb5/\xfd'):
        # the last four bytes are the unpacked length, not part of the stream
        return subprocess.run(['zstd', '-dcq'], input=payload[:-4], stdout=subprocess.PIPE, check=True).stdout
    raise ValueError('kernel payload compressed in an unknown way: ' + payload[:4].hex())


def lay_out(elf):
    """The segments of a vmlinux as one image from LOAD on, and the entry address."""
    if elf[:4] != b'\x7fELF':
        raise ValueError('kernel payload is not ELF')
    entry, phoff = struct.unpack_from('<QQ', elf, 24)
    size, count = struct.unpack_from('<HH', elf, 54)
    image = bytearray()
    for n in range(count):
        kind, _, offset, _, paddr, filesz = struct.unpack_from('<IIQQQQ', elf, phoff + n * size)
        if kind != 1 or not filesz:
            continue
        end = paddr - LOAD + filesz
        image.extend(bytes(max(0, end - len(image))))
        image[paddr - LOAD:end] = elf[offset:offset + filesz]
    image.extend(bytes(-len(image) % 16))
    return image, entry


def entry_stub(workdir):
    source = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'flat-entry.S')
    elf, flat = os.path.join(workdir, 'flat-entry'), os.path.join(workdir, 'flat-entry.bin')
    subprocess.run(['gcc', '-m64', '-nostdlib', '-static', '-no-pie', '-Wl,-Ttext=0x100000,--build-id=none',
                    '-o', elf, source], check=True)
    subprocess.run(['objcopy', '-O', 'binary', '-j', '.text', elf, flat], check=True)
    with open(flat, 'rb') as f:
        return bytearray(f.read())


def convert(bzimage, out, workdir):
    with open(bzimage, 'rb') as f:
        data = f.read()
    if data[0x202:0x206] != b'HdrS':
        raise ValueError(bzimage + ': not a bzImage')
    setup = bytearray(data[:(data[SETUP_SECTS] + 1) * 512])
    offset, length = struct.unpack_from('<II', data, PAYLOAD)
    payload = data[len(setup) + offset:len(setup) + offset + length]
    image, entry = lay_out(unpack(payload))
    stub = entry_stub(workdir)
    struct.pack_into('<QQQ', stub, 8, len(image) // 8, LOAD, entry)
    body = stub + image
    struct.pack_into('<I', setup, SYSSIZE, len(body) // 16)
    setup[RELOCATABLE] = 0
    struct.pack_into('<H', setup, XLOADFLAGS, 0)
    with open(out + '.new', 'wb') as f:
        f.write(setup + body)
    os.rename(out + '.new', out)
