// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is offered and belongs to no other subject here: exits that can be switched off, paravirtual features that follow CPUID, quirks, the
 * older calls for the PIT, addresses that the VMM gives away, machine-check capabilities.
 */
#include "lib/vm.h"

/* --- KVM_CAP_X86_DISABLE_EXITS --- */

GUEST64(halt, "sti; 1: hlt; jmp 1b");	/* IF set: Bochs does not interrupt a guest without */
static bool halt_exits(uint64_t disabled)
{
	struct kt_vm *vm = kt_vm_new(1 << 20, false);
	struct kt_thread *t;
	struct kt_vcpu *v;
	bool exited;

	if (disabled)
		need_ok(kt_enable_cap(vm->fd, KVM_CAP_X86_DISABLE_EXITS, disabled));
	v = kt_vcpu_new(vm, 0, KT_LONG);
	kt_load(vm, halt);
	t = kt_start(v);
	usleep(200000);
	exited = t->ended;
	if (exited)
		check_eq(t->reason, KVM_EXIT_HLT);
	kt_stop(t);
	return exited;
}

TEST(halt_without_exit)
{
	struct kt_vm *vm = kt_vm_new(0, false);

	if (!(kt_cap(vm, KVM_CAP_X86_DISABLE_EXITS) & KVM_X86_DISABLE_EXITS_HLT))
		skip("HLT exits cannot be switched off");
	check(halt_exits(0), "HLT does not exit");
	check(!halt_exits(KVM_X86_DISABLE_EXITS_HLT), "HLT exits though switched off");
}

TEST(disabled_exits_are_checked)
{
	struct kt_vm *vm = kt_vm_new(0, false);
	int can = kt_cap(vm, KVM_CAP_X86_DISABLE_EXITS);

	check_err(kt_enable_cap(vm->fd, KVM_CAP_X86_DISABLE_EXITS, 1 << 20), EINVAL);
	check_eq(kt_enable_cap(vm->fd, KVM_CAP_X86_DISABLE_EXITS, can), 0);
	need_ok(ioctl(vm->fd, KVM_CREATE_VCPU, 0));		/* at any time, for vCPUs to come */
	check_eq(kt_enable_cap(vm->fd, KVM_CAP_X86_DISABLE_EXITS, can), 0);
}

/* --- MONITOR under quirks --- */

GUEST64(monitors, "mov $0x30000, %eax; xor %ecx, %ecx; xor %edx, %edx; monitor; hlt");
static bool monitor_faults(struct kt_vcpu *v)
{
	uint32_t reason;

	kt_load(v->vm, monitors);
	kt_set_regs(v, &(struct kvm_regs){ .rip = KT_CODE, .rsp = KT_STACK, .rflags = 2 });
	reason = kt_run_any(v);
	if (reason == KVM_EXIT_HLT)
		return false;
	need(reason == KVM_EXIT_IO, "exit %s", kt_exit_name(reason));
	check_eq(*(uint32_t *)((char *)v->run + v->run->io.data_offset), 0x100 + 6);	/* #UD */
	return true;
}

TEST(monitor_follows_misc_enable)
{
	const uint64_t quirks = KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS | KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT;
	struct kt_vcpu *v = kt_long_vcpu(false);
	uint64_t misc;

	if ((kt_cap(v->vm, KVM_CAP_DISABLE_QUIRKS2) & quirks) != quirks)
		skip("these quirks cannot be switched off");
	need(kt_get_msr(v, 0x1a0, &misc) == 1);
	check(!monitor_faults(v), "with both quirks");
	need_ok(kt_enable_cap(v->vm->fd, KVM_CAP_DISABLE_QUIRKS2, quirks));
	need(kt_set_msr(v, 0x1a0, misc & ~(1ull << 18)) == 1);
	check(monitor_faults(v), "off in MISC_ENABLE");
	need(kt_set_msr(v, 0x1a0, misc | 1 << 18) == 1);
	check(!monitor_faults(v), "on in MISC_ENABLE");
}

/* --- KVM_CAP_ENFORCE_PV_FEATURE_CPUID --- */

GUEST64(ipi_call, "mov $10, %eax; xor %ebx, %ebx; xor %ecx, %ecx; xor %edx, %edx; xor %esi, %esi; vmcall; mov %rax, 0x30000; hlt");
GUEST64(ipi_mmcall, "mov $10, %eax; xor %ebx, %ebx; xor %ecx, %ecx; xor %edx, %edx; xor %esi, %esi; vmmcall; "
	"mov %rax, 0x30000; hlt");
static uint64_t send_ipi(struct kt_vcpu *v)
{
	if (kt_host_amd())
		kt_load(v->vm, ipi_mmcall);
	else
		kt_load(v->vm, ipi_call);
	kt_set_regs(v, &(struct kvm_regs){ .rip = KT_CODE, .rsp = KT_STACK, .rflags = 2 });
	kt_guest_u64(v->vm, KT_DATA) = 77;
	kt_start(v);
	need(kt_wait(kt_guest_u64(v->vm, KT_DATA) != 77), "no answer");
	return kt_guest_u64(v->vm, KT_DATA);
}

static struct kt_vcpu *pv_vcpu(bool enforce, bool features)
{
	struct kt_vcpu *v = kt_long_vcpu(true);
	struct kvm_cpuid2 *c = kt_supported_cpuid(v->vm->kvm);
	struct kvm_cpuid_entry2 *e = kt_cpuid_leaf(c, 0x40000001, 0);

	need(e);
	if (!(e->eax & 1 << 11))
		skip("no PV send IPI");
	if (enforce)
		need_ok(kt_enable_cap(v->fd, KVM_CAP_ENFORCE_PV_FEATURE_CPUID, 1));
	if (!features)
		e->eax = 0;
	need_ok(ioctl(v->fd, KVM_SET_CPUID2, c));
	free(c);
	return v;
}

TEST(paravirtual_features_follow_cpuid)
{
	if (!kt_cap(kt_vm_new(0, false), KVM_CAP_ENFORCE_PV_FEATURE_CPUID))
		skip("no KVM_CAP_ENFORCE_PV_FEATURE_CPUID");
	check_eq(send_ipi(pv_vcpu(false, false)), 0);		/* not enforced: nobody was meant, 0 got it */
	check_eq(send_ipi(pv_vcpu(true, true)), 0);
	check_eq(send_ipi(pv_vcpu(true, false)), -1000ull);	/* KVM_ENOSYS */
}

/* --- the PIT by its older calls --- */

TEST(pit_by_the_older_calls)
{
	struct kt_vm *vm = kt_vm_new(0, true);
	struct kvm_pit_state s, now;

	check_err(ioctl(vm->fd, KVM_GET_PIT, &s), ENXIO);
	check_eq(ioctl(vm->fd, KVM_CREATE_PIT), 0);
	check_err(ioctl(vm->fd, KVM_CREATE_PIT), EEXIST);
	need_ok(ioctl(vm->fd, KVM_GET_PIT, &s));
	s.channels[2].count = 0x1234;
	s.channels[2].mode = 3;
	s.channels[2].rw_mode = 3;
	s.channels[2].gate = 1;
	need_ok(ioctl(vm->fd, KVM_SET_PIT, &s));
	need_ok(ioctl(vm->fd, KVM_GET_PIT, &now));
	check_eq(now.channels[2].count, 0x1234);
	check_eq(now.channels[2].mode, 3);
	check_err(ioctl(vm->fd, KVM_SET_PIT, (void *)8), EFAULT);
}

/* --- addresses --- */

TEST(identity_map_address)
{
	struct kt_vm *vm = kt_vm_new(0, false);
	uint64_t addr = 0xfeffc000, none = 0;

	check_eq(ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &addr), 0);
	check_eq(ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &none), 0);	/* the default */
	check_err(ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, (void *)8), EFAULT);
	need_ok(ioctl(vm->fd, KVM_CREATE_VCPU, 0));
	check_err(ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &addr), EINVAL);
}

/* --- machine checks --- */

TEST(mce_capabilities)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	uint64_t caps = 0, more;

	need_ok(ioctl(v->vm->kvm, KVM_X86_GET_MCE_CAP_SUPPORTED, &caps));
	check_eq(caps & 0x100, 0x100);			/* MCG_CTL_P: QEMU asks for it */
	check_eq(caps & 1ull << 24, 1ull << 24);	/* MCG_SER_P: likewise */
	check_err(ioctl(v->vm->kvm, KVM_X86_GET_MCE_CAP_SUPPORTED, (void *)8), EFAULT);
	caps = (caps & ~0xffull) | 10;
	check_eq(ioctl(v->fd, KVM_X86_SETUP_MCE, &caps), 0);
	more = caps | 1ull << 60;
	check_err(ioctl(v->fd, KVM_X86_SETUP_MCE, &more), EINVAL);
	more = caps & ~0xffull;				/* no bank at all */
	check_err(ioctl(v->fd, KVM_X86_SETUP_MCE, &more), EINVAL);
}

KT_MAIN
