/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/machine.h"

#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#endif

void machine_name(char *text, size_t size)
{
    if (gethostname(text, size))
        snprintf(text, size, "?");
    text[size - 1] = 0;
}

double machine_resident_bytes(void)
{
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f && fscanf(f, "%*d %ld", &pages) != 1)
        pages = 0;
    if (f)
        fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

void machine_pids(char text[MACHINE_PIDS])
{
    char boot[40] = "";
    struct stat space;
    FILE *f = fopen("/proc/sys/kernel/random/boot_id", "r");
    text[0] = 0;
    if (f && fscanf(f, "%39s", boot) != 1)
        boot[0] = 0;
    if (f)
        fclose(f);
    if (boot[0] && !stat("/proc/self/ns/pid", &space))
        snprintf(text, MACHINE_PIDS, "%s/%llu", boot, (unsigned long long)space.st_ino);
}

int machine_cores(void)
{
    cpu_set_t cores;
    long count = sched_getaffinity(0, sizeof cores, &cores) == 0 ? CPU_COUNT(&cores) : sysconf(_SC_NPROCESSORS_ONLN);
    return count < 1 ? 1 : (int)count;
}

/* A process asks Linux for tiles before it uses them (arch_prctl(2), since 5.16). */
bool machine_has_amx(void)
{
#if defined(__x86_64__)
    enum { REQUEST = 0x1023, TILE_DATA = 18, TILES_AND_BF16 = 1 << 24 | 1 << 22 };
    unsigned a, b, c, d = 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & TILES_AND_BF16) == TILES_AND_BF16 &&
           !syscall(SYS_arch_prctl, REQUEST, TILE_DATA);
#else
    return false;
#endif
}

bool machine_gains_by_bf16(void)
{
#if defined(__x86_64__)
    return machine_has_amx() || (__builtin_cpu_supports("avx512bf16") && !__builtin_cpu_is("intel"));
#else
    return false;
#endif
}
