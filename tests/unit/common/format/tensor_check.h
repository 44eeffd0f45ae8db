/* SPDX-License-Identifier: Apache-2.0 */
/* Compares an open tensor_file with a line-per-tensor list (tools/golden_tensors.py); shared by the readers' tests. */
#pragma once

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/format/tensor_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const type_names[] = {"F32", "F16", "BF16", "F64", "I64", "I32", "U8", "other"};

static inline void hex_of(const void *bytes, size_t size, char *text)
{
    for (size_t i = 0; i < size; i++)
        sprintf(text + 2 * i, "%02x", ((const unsigned char *)bytes)[i]);
    if (!size)
        strcpy(text, "none");
}

static inline void floats_of(const struct tensor *t, char *text)
{
    float *values = allocate(t->count, sizeof *values);
    struct error e;
    if (tensor_to_f32(t, values, &e))
        strcpy(text, "-");
    else if (!t->count)
        strcpy(text, "none");
    for (size_t i = 0; i < t->count && *text != '-'; i++) {
        unsigned bits;
        memcpy(&bits, &values[i], sizeof bits);
        sprintf(text + 8 * i, "%08x", bits);
    }
    free(values);
}

static inline void describe_tensor(const struct tensor *t, char *line)
{
    line += sprintf(line, "%s %s ", t->name, type_names[t->type]);
    for (int i = 0; i < t->dimensions; i++)
        line += sprintf(line, "%s%lld", i ? "," : "", (long long)t->shape[i]);
    line += sprintf(line, "%s ", t->dimensions ? "" : "scalar");
    hex_of(t->data, t->size, line);
    strcat(line, " ");
    floats_of(t, line + strlen(line));
}

/* Every tensor, in order of names, is the list's; the test fails with both lines otherwise. */
static inline void check_tensors(const struct tensor_file *f, const char *list_path)
{
    char line[8192], found[8192];
    size_t i = 0;
    FILE *list = fopen(list_path, "r");
    assert_non_null(list);
    while (fgets(line, sizeof line, list)) {
        line[strcspn(line, "\n")] = 0;
        if (*line == '#')
            continue;
        if (i >= tensor_file_count(f))
            fail_msg("expected %.60s, found the end after %zu tensors", line, i);
        memset(found, 0, sizeof found);
        describe_tensor(tensor_file_at(f, i), found);
        if (strcmp(line, found))
            fail_msg("expected %s\n   found %s", line, found);
        char *name = format_string("%.*s", (int)strcspn(line, " "), line);
        assert_ptr_equal(tensor_file_find(f, name), tensor_file_at(f, i));
        free(name);
        i++;
    }
    fclose(list);
    assert_int_equal(i, tensor_file_count(f));
}
