/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Entry of a flat kernel image (see hostlab/flat.py): what the boot loader jumps to, at 1 MB, in 32-bit protected
 * mode with the boot parameters in ESI. It maps the first 4 GB one to one, enters long mode, moves the kernel
 * that follows it to where it was linked to run (upwards and overlapping, so backwards) and jumps there.
 */
	.code32
	.globl _start
_start:	jmp	begin
	.org	8
quads:	.quad	0			/* patched in: length of the kernel in 8-byte words, */
where:	.quad	0			/* where it belongs, */
entry:	.quad	0			/* and where it starts */

begin:	cli
	cld
	mov	%esi, %ebp
	mov	$pml4, %edi
	lea	0x1007(%edi), %eax	/* the PML4's one entry, then four of the PDPT */
	mov	%eax, (%edi)
	mov	$pdpt, %edi
	mov	$4, %ecx
1:	add	$0x1000, %eax
	mov	%eax, (%edi)
	add	$8, %edi
	loop	1b
	mov	$pdpt + 0x1000, %edi	/* 2,048 pages of 2 MB */
	mov	$0x83, %eax
	mov	$2048, %ecx
2:	mov	%eax, (%edi)
	add	$0x200000, %eax
	add	$8, %edi
	loop	2b

	mov	%cr4, %eax
	or	$0x20, %eax		/* PAE */
	mov	%eax, %cr4
	mov	$pml4, %eax
	mov	%eax, %cr3
	mov	$0xc0000080, %ecx	/* EFER.LME */
	rdmsr
	or	$0x100, %eax
	wrmsr
	lgdt	gdtr
	mov	%cr0, %eax
	or	$0x80000001, %eax
	mov	%eax, %cr0
	ljmp	$0x10, $long_mode

	.code64
long_mode:
	mov	$0x18, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	quads, %rcx
	mov	$image, %esi
	mov	where, %rdi
	lea	-8(%rsi, %rcx, 8), %rsi
	lea	-8(%rdi, %rcx, 8), %rdi
	std
	rep movsq
	cld
	mov	%ebp, %esi
	jmp	*entry

	.balign	8
gdt:	.quad	0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff
gdtr:	.word	gdtr - gdt - 1
	.long	gdt
	.balign	4096
pml4:	.fill	4096, 1, 0
pdpt:	.fill	5 * 4096, 1, 0
image:
