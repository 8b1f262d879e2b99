# SPDX-License-Identifier: GPL-2.0-only
"""Command lines of the emulators, and what each of their machines needs from a host kernel."""
import os
import shlex
import subprocess

from .kernel import CACHE, Missing

# Why each word: Documentation/lab.md. The Bochs ones beyond the first line only save emulated instructions.
COMMON = 'console=ttyS0,115200 quiet panic=-1 tsc=reliable'
BOCHS = COMMON + ' cryptomgr.notests rodata=off initcall_blacklist=load_system_certificate_list'
# mwaitx: the kernel would sleep for ever in an early delay. xsaves, xsavec: Bochs 2.7 puts YMM's upper halves at byte 416 of a
# compacted image, into its header. fsrm: no output, a loop of #UD.
MODEL_WORDS = {
    ('ryzen', '*'): 'clearcpuid=mwaitx,xsaves,xsavec',
    ('tigerlake', '6.1'): 'clearcpuid=fsrm',
    ('corei7_icelake_u', '6.1'): 'clearcpuid=fsrm',
}

BOCHSRC = '''display_library: term
romimage: file=/usr/share/bochs/BIOS-bochs-latest, options=fastboot
vgaromimage: file=/usr/share/vgabios/vgabios.bin
cpu: model={model}, count={cpus}, ips={ips}, reset_on_triple_fault=0
memory: guest={mem}, host={mem}
clock: sync=none, time0=1700000000
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path={work}/host.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev={work}/log
com2: enabled=1, {com2}
sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy
speaker: enabled=0
port_e9_hack: enabled=1
panic: action=fatal
error: action=report
log: {work}/bochs.log
'''


def words(model, kernel, mitigations):
    line = [COMMON if model == 'qemu' else BOCHS]
    if not mitigations:
        line.append('mitigations=off')
    series = '.'.join(kernel.release.split('.')[:2])
    for (m, k), w in MODEL_WORDS.items():
        if m == model and k in ('*', series):
            line.append(w)
    return ' '.join(line)


def qemu(opts, kernel, initrd, work):
    accel = 'tcg,thread=multi'
    cmd = ['qemu-system-x86_64', '-cpu', opts.cpu, '-smp', str(opts.cpus), '-m', str(opts.mem or 2048),
           '-display', 'none', '-nodefaults', '-no-reboot', '-kernel', kernel.flat(), '-initrd', initrd,
           '-append', words('qemu', kernel, opts.mitigations) + ' ' + opts.append,
           '-serial', f'file:{work}/log']
    if opts.icount:
        accel = 'tcg,thread=single'
        cmd += ['-icount', 'shift=0,sleep=off']
    cmd += ['-accel', accel]
    if opts.interactive:
        cmd += ['-chardev', 'stdio,id=cmd,signal=off', '-serial', 'chardev:cmd']
    else:
        cmd += ['-serial', f'file:{work}/cmd']
    if opts.root == '9p':
        cmd += ['-virtfs', 'local,path=/,mount_tag=lab-root,security_model=none,readonly=on,multidevs=remap',
                '-virtfs', f'local,path={opts.out},mount_tag=lab-out,security_model=none']
    return cmd + opts.emulator_args


def bochs(opts, kernel, initrd, work, port=None):
    models = subprocess.run(['bochs-bin', '-help', 'cpu'], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if opts.model not in models.stdout.split():
        raise Missing(f'no Bochs model {opts.model}; bochs-bin -help cpu lists them')
    iso = os.path.join(work, 'iso')
    os.makedirs(iso)
    for name in ('/usr/lib/ISOLINUX/isolinux.bin', '/usr/lib/syslinux/modules/bios/ldlinux.c32'):
        if not os.path.exists(name):
            raise Missing(f'no {name}: install isolinux and syslinux-common (tools/lab/setup does)')
        os.symlink(name, os.path.join(iso, os.path.basename(name)))
    os.symlink(kernel.flat(), os.path.join(iso, 'vmlinuz'))
    os.symlink(initrd, os.path.join(iso, 'initrd'))
    append = words(opts.model, kernel, opts.mitigations) + ' ' + opts.append
    with open(os.path.join(iso, 'isolinux.cfg'), 'w') as f:
        f.write(f'default k\nprompt 0\nlabel k\n kernel /vmlinuz\n append initrd=/initrd {append}\n')
    made = subprocess.run(['xorriso', '-as', 'mkisofs', '-quiet', '-follow-links', '-b', 'isolinux.bin', '-c', 'boot.cat',
                           '-no-emul-boot', '-boot-load-size', '4', '-boot-info-table', '-o', work + '/host.iso', iso],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if made.returncode:
        raise Missing('xorriso: ' + made.stdout.strip())
    com2 = f'mode=socket-server, dev=localhost:{port}' if port else f'mode=file, dev={work}/cmd'
    with open(os.path.join(work, 'bochsrc'), 'w') as f:
        f.write(BOCHSRC.format(model=opts.model, cpus=opts.cpus, ips=opts.ips, mem=opts.mem or 768, work=work, com2=com2))
    with open(os.path.join(work, 'rc'), 'w') as f:
        f.write('c\nq\n')
    run = f'exec bochs-bin -q -f {shlex.quote(work)}/bochsrc -rc {shlex.quote(work)}/rc'
    return ['script', '-qec', run, '/dev/null']


def scratch():
    path = os.path.join(CACHE, 'runs')
    os.makedirs(path, exist_ok=True)
    return path
