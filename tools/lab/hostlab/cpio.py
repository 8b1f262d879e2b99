# SPDX-License-Identifier: GPL-2.0-only
"""Initramfs archives (cpio, "newc"), written without needing root. Archives may simply be concatenated, and
a later entry replaces an earlier one of the same name."""
import os
import stat


class Archive:
    def __init__(self, out):
        self.out = out
        self.inode = 0
        self.names = set()

    def _entry(self, name, mode, data=b'', dev=(0, 0)):
        self.inode += 1
        raw = name.lstrip('/').encode() + b'\0'
        fields = (self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, dev[0], dev[1], len(raw), 0)
        head = b'070701' + b''.join(b'%08X' % f for f in fields) + raw
        self.out.write(head + bytes(-len(head) % 4))
        self.out.write(data)
        self.out.write(bytes(-len(data) % 4))

    def folder(self, name):
        name = name.strip('/')
        if not name or name in self.names:
            return
        self.folder(os.path.dirname(name))
        self.names.add(name)
        self._entry(name, stat.S_IFDIR | (0o1777 if name == 'tmp' else 0o755))

    def data(self, name, content, mode=0o644):
        self.folder(os.path.dirname(name))
        self._entry(name, stat.S_IFREG | mode, content)

    def link(self, name, target):
        self.folder(os.path.dirname(name))
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def device(self, name, major, minor):
        self.folder(os.path.dirname(name))
        self._entry(name, stat.S_IFCHR | 0o600, b'', (major, minor))

    def file(self, name, path):
        with open(path, 'rb') as f:
            self.data(name, f.read(), stat.S_IMODE(os.stat(path).st_mode) | 0o400)

    def close(self):
        self._entry('TRAILER!!!', 0)
        self.out.write(bytes(-self.out.tell() % 512))
