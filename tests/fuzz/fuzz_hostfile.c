/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a host file: refused with one line, or hosts that each stand there once, by a name that a shell may see and with
 * slots. */
#include "cluster/hostfile.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_hosts(const struct host_line *hosts, size_t count)
{
    if (!count)
        abort();
    for (size_t i = 0; i < count; i++) {
        if (!hosts[i].name[0] || hosts[i].slots < 1 || strpbrk(hosts[i].name, " \t\r\n,;:'\"$`\\|&<>()*?#"))
            abort();
        for (size_t k = 0; k < i && count < 2000; k++)
            if (strcmp(hosts[i].name, hosts[k].name) == 0)
                abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    int fd = memfd_create("fuzz", 0);
    if (write(fd, data, size) != (ssize_t)size)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    struct host_line *hosts;
    size_t count;
    struct error e = {0};
    if (hostfile_read(&hosts, &count, path, &e) == 0) {
        check_hosts(hosts, count);
        free(hosts);
    } else if (e.kind != ERROR_USAGE || strncmp(e.message, path, strlen(path)) || strchr(e.message, '\n')) {
        abort();
    }
    close(fd);
    return 0;
}
