/* SPDX-License-Identifier: Apache-2.0 */
/* muster doctor: what this build and this machine have, and what is missing. */
#include "cluster/launcher.h"
#include "common/base/machine.h"
#include "common/base/memory.h"
#include "common/base/peak.h"
#include "common/base/process.h"
#include "common/base/version.h"
#include "coordinator/cli/verbs.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static void line(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void line(const char *name, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    printf("  %-14s ", name);
    vprintf(format, arguments);
    printf("\n");
    va_end(arguments);
}

/* Value behind "key : " in a file such as /proc/cpuinfo; "" if it is not there. */
static void file_value(char *value, size_t size, const char *path, const char *key)
{
    char text[8192];
    FILE *f = fopen(path, "r");
    value[0] = 0;
    while (f && !value[0] && fgets(text, sizeof text, f)) {
        char *colon = strchr(text, ':');
        if (strncmp(text, key, strlen(key)) == 0 && colon)
            snprintf(value, size, "%s", colon + 1 + strspn(colon + 1, " \t"));
    }
    if (f)
        fclose(f);
    value[strcspn(value, "\n")] = 0;
}

static bool has_flag(const char *flags, const char *name)
{
    size_t size = strlen(name);
    for (const char *at = flags; (at = strstr(at, name)); at += size)
        if ((at == flags || at[-1] == ' ') && (at[size] == ' ' || !at[size]))
            return true;
    return false;
}

static void show_machine(void)
{
    static const char *const known[] = {"avx2", "fma", "avx512f", "avx512bw", "avx512_bf16", "avx512_vnni", "amx_bf16"};
    char model[256], flags[8192], memory[64], free_memory[64], instructions[256] = "";
    struct utsname system = {0};
    uname(&system);
    file_value(model, sizeof model, "/proc/cpuinfo", "model name");
    file_value(flags, sizeof flags, "/proc/cpuinfo", "flags");
    file_value(memory, sizeof memory, "/proc/meminfo", "MemTotal");
    file_value(free_memory, sizeof free_memory, "/proc/meminfo", "MemAvailable");
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (has_flag(flags, known[i]))
            snprintf(instructions + strlen(instructions), sizeof instructions - strlen(instructions), "%s ", known[i]);
    line("system", "%s %s %s", system.sysname, system.release, system.machine);
    line("processor", "%s", model[0] ? model : "unknown");
    line("instructions", "%s", instructions[0] ? instructions : "baseline only");
    line("cores", "%d", machine_cores());
    for (int p = PRECISION_F32; p <= PRECISION_BF16; p++) {
        struct peak peak = peak_measure((enum precision)p, machine_cores());
        line(p == PRECISION_F32 ? "peak f32" : "peak bf16", "%.0f GFLOPS (%s, all cores)", peak.gflops, peak.instructions);
    }
    line("memory", "%.1f GiB, %.1f GiB available", strtod(memory, NULL) / (1 << 20), strtod(free_memory, NULL) / (1 << 20));
}

enum { OUTPUT_MOST = 65536 };

/* What a command prints. False if it cannot be run, fails or prints nothing: then *output is empty. */
static bool output_of(struct buffer *output, char *const words[])
{
    const struct process_options quiet = {.flags = PROCESS_QUIET};
    struct error ignored;
    int status;
    if (process_run(output, OUTPUT_MOST, &status, words, &quiet, &ignored))
        return false;
    if (!status && output->size)
        return true;
    buffer_free(output);
    return false;
}

/* Of a command of the shell. */
static bool first_line(char *text, size_t size, const char *command)
{
    char *const words[] = {(char[]){"sh"}, (char[]){"-c"}, (char *)(uintptr_t)command, NULL};
    struct buffer output;
    if (!output_of(&output, words))
        return false;
    snprintf(text, size, "%.*s", (int)strcspn(output.data, "\n"), output.data);
    buffer_free(&output);
    return true;
}

struct library {
    const char *name, *file, *package, *use;
};

static const struct library libraries[] = {
    {"Open MPI", "libmpi.so", "libopenmpi3", "gradients between ranks"},
    {"oneDNN", "libdnnl.so", "libdnnl2", "matrix products"},
    {"HDF5", "libhdf5", "libhdf5-103-1", "logits and results"},
    {"ZeroMQ", "libzmq.so", "libzmq5", "control"},
    {"libcrypto", "libcrypto.so", "libssl3", "hashes"},
    {"libzip", "libzip.so", "libzip4", "bundles"},
    {"utf8proc", "libutf8proc.so", "libutf8proc2", "tokeniser"},
    {"cJSON", "libcjson.so", "libcjson1", "JSON"},
};

/* What the dynamic linker finds for the worker, which needs all of them: "libmpi.so.40 => /usr/lib/.../libmpi.so.40 (0x...)". */
static size_t show_library(const struct library *l, const char *listing)
{
    const char *at = strstr(listing, l->file);
    char name[128] = "", path[4096] = "";
    if (!at || sscanf(at, "%127s => %4095s", name, path) != 2) {
        line(l->name, "linked in");
        return 0;
    }
    if (path[0] != '/') {
        line(l->name, "MISSING (%s): %s; install %s", name, l->use, l->package);
        return 1;
    }
    char *file = realpath(path, NULL);
    line(l->name, "%s", file ? file : path);
    free(file);
    return 0;
}

static size_t show_libraries(const char *worker)
{
    char *const words[] = {(char[]){"env"}, (char[]){"LD_TRACE_LOADED_OBJECTS=1"}, (char *)(uintptr_t)worker, NULL};
    const struct process_options quiet = {.flags = PROCESS_QUIET};
    struct buffer listing;
    struct error ignored;
    int status; /* a library that is missing fails the worker, and is in the listing */
    size_t missing = 0;
    bool listed = !process_run(&listing, OUTPUT_MOST, &status, words, &quiet, &ignored);
    for (size_t i = 0; i < sizeof libraries / sizeof libraries[0]; i++)
        missing += show_library(&libraries[i], listed ? listing.data : "");
    buffer_free(&listing);
    return missing;
}

static void show_programs(void)
{
    char text[256];
    if (first_line(text, sizeof text, "mpirun --version"))
        line("mpirun", "%s", text);
    else
        line("mpirun", "not in PATH: only one rank per group; install openmpi-bin for more");
    char pmix[256];
    if (!first_line(text, sizeof text, "command -v srun"))
        line("SLURM", "not found (not needed)");
    else if (!first_line(text, sizeof text, "srun --version"))
        line("SLURM", "srun found, but no cluster configuration (SLURM_CONF)");
    else
        line("SLURM", "%s; %s", text,
             first_line(pmix, sizeof pmix, "srun --mpi=list 2>&1 | grep -ow pmix")
                 ? "srun --mpi=pmix is available: cluster.launcher srun"
                 : "srun has no PMIx: use cluster.launcher mpirun");
    line("remote shell", "%s",
         first_line(text, sizeof text, "command -v \"${OMPI_MCA_plm_rsh_agent:-ssh}\"")
             ? text
             : "no ssh: hosts of cluster.hostfile cannot be reached; install openssh-client");
}

/* A line for each that the worker prints: only it knows its build. */
static void show_gpus(const char *worker)
{
    char *const words[] = {(char *)(uintptr_t)worker, (char[]){"devices"}, NULL};
    struct buffer output;
    if (!output_of(&output, words))
        return;
    for (char *at = output.data, *end; *at; at = end + (*end != 0)) {
        end = at + strcspn(at, "\n");
        line("GPU", "%.*s", (int)(end - at), at);
    }
    buffer_free(&output);
}

int verb_doctor(const struct arguments *a, struct error *e)
{
    char *worker;
    (void)a;
    line("muster", MUSTER_VERSION ", compiler " __VERSION__);
    show_machine();
    show_programs();
    if (launcher_worker_path(&worker, e) != 0)
        return -1;
    line("worker", "%s", worker);
    show_gpus(worker);
    size_t missing = show_libraries(worker);
    free(worker);
    if (missing > 0)
        return error_set(e, ERROR_FAILED,
                         "doctor: %zu libraries are missing (see above); install them: muster-worker cannot start", missing);
    return 0;
}
