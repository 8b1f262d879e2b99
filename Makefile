# SPDX-License-Identifier: GPL-2.0-only
# What a person types; `make help` explains. Everything built lands under build/.
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
	@$(kbuild) modules
# a few objects only: make objs OBJS="virt/kvm/main.o ..."
objs:
	$(sync)
	@$(kbuild) $(OBJS)
clean:
	rm -rf build

help:
	@sed -n 's/^#: //p' Makefile

.PHONY: all modules objs clean help
