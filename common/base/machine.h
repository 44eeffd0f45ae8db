/* SPDX-License-Identifier: Apache-2.0 */
/* This machine, as it calls itself. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define MACHINE_NAME 256 /* bytes that any name fits in, with NUL */

void machine_name(char *text, size_t size); /* its host name; "?" where it has none */

int machine_cores(void); /* that this process may run on; at least 1 */

bool machine_has_amx(void); /* its tiles and their bf16 product, in this process; threads made later may use them, too */

/* Whether bf16 is multiplied faster than f32 here: by AMX, or by AVX-512's dot product, but not Intel's, which does as many
 * multiplications a cycle as of f32, at best. */
bool machine_gains_by_bf16(void);

double machine_resident_bytes(void); /* resident memory of this process; 0 where the kernel does not tell */

#define MACHINE_PIDS 64 /* with NUL */

/* Where the process numbers of this process mean something: the boot of this kernel and the PID namespace in it. Two processes
 * for which it is the same see each other's numbers; equal host names do not say so (containers). "" where the kernel does not
 * tell. */
void machine_pids(char text[MACHINE_PIDS]);
