// SPDX-License-Identifier: GPL-2.0-only
/*
 * Into another kernel, without leaving the machine to its firmware (kexec_file_load(2)).
 *
 *   jump now KERNEL INITRD WORDS      at once
 *   jump crash KERNEL INITRD WORDS    it is loaded for a crash (crashkernel=), and this kernel crashes
 */
#include <fcntl.h>
#include <linux/kexec.h>
#include <linux/reboot.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int kernel, initrd, f;
	bool crash;

	if (argc != 5)
		return 2;
	crash = !strcmp(argv[1], "crash");
	kernel = open(argv[2], O_RDONLY);
	initrd = open(argv[3], O_RDONLY);
	if (kernel < 0 || initrd < 0) {
		perror("jump");
		return 1;
	}
	if (syscall(SYS_kexec_file_load, kernel, initrd, strlen(argv[4]) + 1, argv[4], crash ? KEXEC_FILE_ON_CRASH : 0ul)) {
		perror("kexec_file_load");
		return 1;
	}
	if (crash) {
		f = open("/proc/sysrq-trigger", O_WRONLY);
		(void)!write(f, "c", 1);
	} else {
		syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_KEXEC, NULL);
	}
	perror("no jump");
	return 1;
}
