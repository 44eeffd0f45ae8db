/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as CSV: every record is a row of the header's cells or an error with its place, and the walk ends. */
#include "common/format/csv.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    int fd = memfd_create("fuzz", 0), result;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (write(fd, data, size) != (ssize_t)size)
        abort();
    struct error e = {0};
    struct csv *f;
    if (!csv_open(&f, path, NULL, &e)) {
        const struct json *row;
        size_t line = 0, last = 0, columns = 0, calls = 0;
        while ((result = csv_next(f, &row, &line, &e)) != 0) {
            if (++calls > 70000000 || (result > 0 && line <= last))
                abort();
            if (result < 0 && (e.kind != ERROR_DATA || strncmp(e.message, path, strlen(path))))
                abort();
            if (result > 0 && columns && json_size(row) != columns)
                abort();
            columns = result > 0 ? json_size(row) : columns;
            last = line;
        }
        csv_close(&f);
    } else if (e.kind != ERROR_DATA) {
        abort();
    }
    close(fd);
    return 0;
}
