# SPDX-License-Identifier: GPL-2.0-only
"""The initramfs of an emulated host: busybox, tools/lab/init, modules, and what the caller adds."""
import os
import re
import subprocess

from . import cpio
from .kernel import CACHE, LAB, Missing, once, read_module

BUSYBOX = '/bin/busybox'


def applets():
    names = subprocess.run([BUSYBOX, '--list'], stdout=subprocess.PIPE, text=True, check=True)
    return names.stdout.split()


def libraries(path):
    """Shared libraries and the loader that a program needs; nothing for scripts and static programs."""
    out = subprocess.run(['ldd', path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    if out.returncode:
        return []
    return re.findall(r'(?:=> |^\s)(/\S+) \(0x', out.stdout, re.M)


def stripped(path):
    """A program without symbols: a third of QEMU, and what is not there is not loaded. Cached."""
    st = os.stat(path)
    with open(path, 'rb') as f:
        if f.read(4) != b'\x7fELF':
            return path
    out = os.path.join(CACHE, 'stripped', f'{os.path.basename(path)}-{st.st_ino}-{int(st.st_mtime)}-{st.st_size}')

    def make():
        subprocess.run(['strip', '-o', out + '.new', path], check=True)
        os.rename(out + '.new', out)

    return once(out, make)


def add_tree(archive, source, target):
    """A file with its libraries, or a folder with all below it."""
    if os.path.isdir(source):
        for root, _, names in sorted(os.walk(source)):
            for name in sorted(names):
                path = os.path.join(root, name)
                add_tree(archive, path, os.path.join(target, os.path.relpath(path, source)))
        return
    if not os.path.exists(source):
        raise Missing(f'no file {source}')
    if target in archive.names:
        return
    archive.names.add(target)
    archive.file(target, stripped(source) if os.access(source, os.X_OK) else source)
    for lib in libraries(source) if os.access(source, os.X_OK) else []:
        if lib not in archive.names:
            archive.names.add(lib)
            archive.file(lib, stripped(os.path.realpath(lib)))


def build(out, conf, drivers, modules, command, extra):
    """drivers, modules: (path, parameters). extra: (source, target). command: a shell script's text."""
    if not os.path.exists(BUSYBOX):
        raise Missing('no busybox: install busybox-static (tools/lab/setup does)')
    with open(out, 'wb') as f:
        a = cpio.Archive(f)
        for name in ('proc', 'sys', 'dev', 'tmp', 'root', 'etc', 'run', 'out', 'mnt', 'var/tmp'):
            a.folder(name)
        a.device('dev/console', 5, 1)
        a.file('bin/busybox', BUSYBOX)
        a.names.add('bin/busybox')
        for name in applets():
            if name != 'busybox':
                a.link('bin/' + name, 'busybox')
        a.link('sbin', 'bin')
        a.names.add('sbin')
        a.data('etc/passwd', b'root:x:0:0:root:/root:/bin/sh\n')
        a.data('etc/group', b'root:x:0:\n')
        a.file('init', os.path.join(LAB, 'init'))
        lists = {'drivers': [], 'modules': []}
        for kind, entries in (('drivers', drivers), ('modules', modules)):
            for path, params in entries:
                name = os.path.basename(path).replace('.xz', '')
                a.data(f'lab/{kind}.d/{name}', read_module(path))
                lists[kind].append(f'/lab/{kind}.d/{name} {params}'.strip())
        for kind, lines in lists.items():
            a.data('lab/' + kind, ''.join(line + '\n' for line in lines).encode())
        a.data('lab/conf', ''.join(f"{k}='{v}'\n" for k, v in conf.items()).encode())
        a.data('lab/command', command.encode(), 0o755)
        for source, target in extra:
            add_tree(a, source, target.lstrip('/') if target else source.lstrip('/'))
        a.close()
    return out
