/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as JSON: refused with a place, or read into a tree that prints and reads back as itself. */
#include "common/json/json.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void check_again(const struct json *j)
{
    struct json *again;
    char *text = json_print(j, false);
    if (json_parse(&again, text, strlen(text), "again", NULL))
        abort();
    char *second = json_print(again, false);
    if (strcmp(text, second))
        abort();
    free(second);
    free(text);
    json_destroy(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error strict = {0}, lenient = {0};
    struct json *j, *line;
    int refused = json_parse(&j, (const char *)data, size, "f", &strict);
    struct json_leniency met = {0};
    int line_refused = json_parse_rows(&line, (const char *)data, size, "f", 1, &met, &lenient);
    if (refused ? strict.kind != ERROR_DATA : line_refused)
        abort();
    if (!refused) {
        check_again(j);
        json_destroy(&j);
    }
    if (!line_refused) {
        check_again(line);
        json_destroy(&line);
    }
    return 0;
}
