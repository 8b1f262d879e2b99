# SPDX-License-Identifier: GPL-2.0-only
"""Kernels an emulated host can boot: where image and modules lie, and which modules need which."""
import fcntl
import lzma
import os
import re
import subprocess

from . import flat

TOP = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', '..'))
LAB = os.path.join(TOP, 'tools', 'lab')
CACHE = os.path.join(TOP, 'build', 'lab')


class Missing(Exception):
    """Something the lab needs is not there; the text names it."""


def once(path, make):
    """Make a cached file if it is not there; several runs may ask at once."""
    if os.path.exists(path):
        return path
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + '.lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(path):
            make()
    return path


class Kernel:
    def __init__(self, series):
        self.series = series
        setup = subprocess.run([os.path.join(LAB, 'setup'), '--release', series], stdout=subprocess.PIPE, text=True)
        if setup.returncode:
            raise Missing(f'no kernel {series}')
        self.release = setup.stdout.strip()
        if series == 'debug':
            where = subprocess.run([os.path.join(LAB, 'debug-kernel'), '--dir'], stdout=subprocess.PIPE, text=True)
            self.base = where.stdout.strip()
        else:
            self.base = os.path.join(TOP, 'build', 'kernels', series)
        self.image = os.path.join(self.base, 'boot', 'vmlinuz-' + self.release)
        self.modules = os.path.join(self.base, 'lib', 'modules', self.release)
        self.deps = {}
        with open(os.path.join(self.modules, 'modules.dep')) as f:
            for line in f:
                path, needs = line.split(':')
                self.deps[self.name(path)] = (path, [self.name(n) for n in needs.split()])
        with open(os.path.join(self.modules, 'modules.builtin')) as f:
            self.builtin = {self.name(line.strip()) for line in f}

    @staticmethod
    def name(path):
        return re.sub(r'\.ko(\.[a-z]+)?$', '', os.path.basename(path)).replace('-', '_')

    def flat(self):
        out = os.path.join(CACHE, 'flat-' + self.release)
        stamp = f'{out}-{int(os.stat(self.image).st_mtime)}'
        return once(stamp, lambda: flat.convert(self.image, stamp, CACHE))

    def needed(self, *names):
        """Paths of modules and of all they depend on, in loading order."""
        order = []

        def add(name):
            if name in self.builtin or name in order:
                return
            if name not in self.deps:
                raise Missing(f'kernel {self.release} has no module {name}')
            for need in reversed(self.deps[name][1]):
                add(need)
            if name not in order:
                order.append(name)

        for name in names:
            add(name.replace('-', '_'))
        return [os.path.join(self.modules, self.deps[n][0]) for n in order]


def read_module(path):
    """A module's plain, stripped content (stripping saves emulated time); the result is cached."""
    st = os.stat(path)
    out = os.path.join(CACHE, 'stripped', f'{Kernel.name(path)}-{st.st_ino}-{int(st.st_mtime * 1e6)}-{st.st_size}')

    def make():
        with open(path, 'rb') as f:
            data = f.read()
        if path.endswith('.xz'):
            data = lzma.decompress(data)
        with open(out + '.new', 'wb') as f:
            f.write(data)
        subprocess.run(['strip', '--strip-debug', out + '.new'], check=True)
        os.rename(out + '.new', out)

    once(out, make)
    with open(out, 'rb') as f:
        return f.read()
