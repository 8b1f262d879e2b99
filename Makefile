# SPDX-License-Identifier: GPL-2.0-only
#: make                build kvm.ko, kvm-intel.ko, kvm-amd.ko for the running kernel (KDIR=... for another's headers)
#: make run            an emulated AMD-V host boots a Debian guest on our modules (VENDOR=intel, VMM=vmrun|qemu,
#:                     KERNEL=bzImage INITRD=file for a guest of your own, HOST=6.1|6.12, CPUS=vCPUs, MEM=MB)
#: make test           everything: static checks, unit tests, the modules on both vendors; `make test T=name` for a part
#: make check          static checks: layers, headers alone, sizes, warnings
#: make unit           tests that need no emulated host
#: make emucheck       the emulator against this machine's CPU (N=instructions SEED=number)
#: make fuzz           coverage-guided fuzzing of the emulator (SECONDS=...)
#: make coverage       line coverage of the emulator by its tests
#: make bench          host instructions per exit, ours beside the distribution's modules
#: make load, unload   put our modules in the place of the running ones on this machine, and take them out
#: make clean          remove build/
#
# Everything built lands under build/. What a target needs it installs (as root) or names (otherwise): tools/lab/setup.
KDIR	?= $(firstword $(wildcard /lib/modules/$(shell uname -r)/build) $(shell tools/lab/setup --kdir 6.1 2>/dev/null))
BUILD	?= $(CURDIR)/build/modules
# UTS_RELEASE is what the kernel calls itself; include/config/kernel.release of Debian's headers is not
KREL	= $(or $(shell sed -n 's/.*UTS_RELEASE "\(.*\)"/\1/p' $(KDIR)/include/generated/utsrelease.h 2>/dev/null),$(notdir $(KDIR)))
W	?= 1
SRC_DIRS := Kbuild include virt arch

# Sources are copied beside the objects, one folder a kernel, so that builds for several kernels live
# side by side; rsync leaves what has not changed alone.
define sync
	@test -e $(KDIR)/Makefile || { echo "no kernel headers at KDIR='$(KDIR)': install linux-headers-$$(uname -r) or give KDIR="; exit 1; }
	@mkdir -p $(BUILD)/$(KREL)
	@rsync -a --exclude='*.o' --exclude='.*.cmd' --delete --filter='P *.o' --filter='P .*' --filter='P *.ko' --filter='P *.mod*' \
		--filter='P Module.symvers' --filter='P modules.order' $(SRC_DIRS) $(BUILD)/$(KREL)/
endef
kbuild = $(MAKE) --no-print-directory -C $(KDIR) M=$(BUILD)/$(KREL) W=$(W) $(if $(C),C=$(C) CF="-Wno-sparse-error")

all: modules
modules:
	$(sync)
	+@$(kbuild) modules
# a few objects only: make objs OBJS="virt/kvm/main.o ..."
objs:
	$(sync)
	+@$(kbuild) $(OBJS)

# What the lab needs: packages, kernels, modules for both, VMM and test programs.
setup:
	@tools/lab/setup
lab: setup
	@for k in 6.1 6.12; do \
		$(MAKE) -s -j$$(nproc) modules KCFLAGS=-Werror KDIR=$$(tools/lab/setup --kdir $$k) > build/modules-$$k.log 2>&1 || \
			{ cat build/modules-$$k.log; exit 1; }; done
	@$(MAKE) -s -C tools/vmrun
	@$(MAKE) -s -C selftests

VENDOR	?= amd
VMM	?= qemu
HOST	?= 6.1
CPUS	?= 2
MEM	?= 256
run: lab
	@tools/lab/guest --vendor $(VENDOR) --vmm $(VMM) --host-kernel $(HOST) --vcpus $(CPUS) --mem $(MEM) \
		$(if $(KERNEL),--guest-kernel $(KERNEL)) $(if $(INITRD),--guest-initrd $(INITRD)) $(ARGS)

test: lab
	@tools/test $(T)
check: setup
	@tools/check/all
unit:
	@$(MAKE) -s -C selftests/host unit
emucheck fuzz coverage:
	@$(MAKE) -s -C selftests/host/emulate $@
bench: lab
	@tools/bench/run $(ARGS)

# (not "load unload:", which GNU make takes for its load directive)
unload load:
	@tools/lab/$@

clean:
	rm -rf build

help:
	@sed -n 's/^#: //p' Makefile

.PHONY: all modules objs setup lab run test check unit emucheck fuzz coverage bench load unload clean help
