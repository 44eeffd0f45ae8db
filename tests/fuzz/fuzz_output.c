/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as what mpirun and its ranks print: passed on, and the same death is read from them however the bytes come in. */
#include "cluster/output.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_all(int fd, const uint8_t *data, size_t size)
{
    if (write(fd, data, size) != (ssize_t)size)
        abort();
}

static struct output read_at_once(const uint8_t *data, size_t size)
{
    struct output o;
    int fd = memfd_create("fuzz", 0);
    write_all(fd, data, size);
    lseek(fd, 0, SEEK_SET);
    output_open(&o, fd);
    output_relay(&o);
    output_close(&o);
    return o;
}

static struct output read_in_pieces(const uint8_t *data, size_t size, size_t piece)
{
    struct output o;
    int ends[2];
    if (pipe2(ends, O_NONBLOCK))
        abort();
    output_open(&o, ends[0]);
    for (size_t at = 0; at < size; at += piece) {
        write_all(ends[1], data + at, piece < size - at ? piece : size - at);
        output_relay(&o);
        if (o.descriptor < 0)
            abort(); /* the other end is open */
    }
    close(ends[1]);
    output_close(&o);
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool quiet;
    if (!quiet)
        quiet = (stderr = fopen("/dev/null", "w")) != NULL; /* where lines are passed on to; libFuzzer keeps its own stream */
    if (size < 1)
        return 0;
    struct output a = read_at_once(data + 1, size - 1), b = read_in_pieces(data + 1, size - 1, 1 + data[0] * 16u);
    if (a.lost_rank != b.lost_rank || a.signal != b.signal || strcmp(a.lost_host, b.lost_host) || a.descriptor >= 0)
        abort();
    return 0;
}
