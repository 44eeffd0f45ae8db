/* SPDX-License-Identifier: Apache-2.0 */
/* muster-reference OPTIONS.json DATE DIRECTORY: writes manual pages and completion into a directory. */
#include "tools/reference/reference.h"

#include "common/base/file.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    struct error e = {0};
    struct json *worker = NULL;
    if (argc != 4) {
        fprintf(stderr, "usage: muster-reference OPTIONS.json DATE DIRECTORY\n");
        return ERROR_USAGE;
    }
    int status = json_read(&worker, argv[1], &e);
    if (status == 0)
        status = directory_create(argv[3], &e);
    if (status == 0)
        status = man_pages_write(argv[3], argv[2], worker, &e);
    if (status == 0)
        status = completion_write(argv[3], worker, &e);
    json_destroy(&worker);
    if (status != 0)
        fprintf(stderr, "muster-reference: %s\n", e.message);
    return status == 0 ? 0 : ERROR_FAILED;
}
