/* SPDX-License-Identifier: Apache-2.0 */
/* muster zoo: models side by side. */
#include "common/base/file.h"
#include "coordinator/cli/verbs.h"
#include "coordinator/zoo/zoo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct option zoo_options[] = {
    {"output", 'o', "FILE", NULL, "output file, by its ending: .md, .html, .json or .csv; default: Markdown on standard output"},
    {NULL},
};

static char *to_json(const struct json *zoo)
{
    return json_print(zoo, true);
}

static const struct {
    const char *ending;
    char *(*print)(const struct json *zoo);
} forms[] = {{".md", zoo_to_markdown}, {".html", zoo_to_html}, {".json", to_json}, {".csv", zoo_to_csv}};
#define FORMS (sizeof forms / sizeof forms[0])

/* FORMS: of none. */
static size_t form_of(const char *file)
{
    const char *dot = strrchr(file, '.');
    size_t i = 0;
    while (i < FORMS && (!dot || strcmp(dot, forms[i].ending) != 0))
        i++;
    return i;
}

int verb_zoo(const struct arguments *a, struct error *e)
{
    const char *file = argument(a, "output");
    size_t form = file ? form_of(file) : 0;
    struct json *zoo;
    if (form == FORMS)
        return error_set(e, ERROR_USAGE, "--output: expected a file that ends in .md, .html, .json or .csv, found %s", file);
    if ((file && file_check_writable(file, e) != 0) || zoo_read(&zoo, a->positional, a->count, e) != 0)
        return -1;
    char *text = forms[form].print(zoo);
    int status = file ? file_write(file, text, strlen(text), e) : 0;
    if (!file)
        fputs(text, stdout);
    else if (status == 0)
        printf("zoo: %s\n", file);
    free(text);
    json_destroy(&zoo);
    return status;
}
