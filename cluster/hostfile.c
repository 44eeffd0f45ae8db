/* SPDX-License-Identifier: Apache-2.0 */
/* Host files. */
#include "cluster/hostfile.h"

#include "common/base/file.h"
#include "common/base/memory.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS_MOST 65536

struct reading {
    struct host_line *hosts;
    size_t count, capacity;
};

static int read_number(int *ret, const char *word, const char *text, struct error *e)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (!isdigit((unsigned char)*text) || *end || value < 1 || value > SLOTS_MOST)
        return error_set(e, ERROR_USAGE, "\"%s\": expected a number from 1 to %d behind \"=\"", word, SLOTS_MOST);
    *ret = (int)value;
    return 0;
}

/* "slots=4", and the other options that Open MPI knows. */
static int read_word(int *slots, const char *word, struct error *e)
{
    int most;
    const char *equals = strchr(word, '=');
    if (!strncmp(word, "slots=", 6))
        return read_number(slots, word, equals + 1, e);
    if (!strncmp(word, "max_slots=", 10) || !strncmp(word, "max-slots=", 10))
        return read_number(&most, word, equals + 1, e);
    return error_set(e, ERROR_USAGE, "unknown option \"%s\"; a line is \"name slots=N\"", word);
}

static int check_name(const char *name, struct error *e)
{
    size_t good = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_");
    if (name[good])
        return error_set(e, ERROR_USAGE, "\"%s\" is not a host name; a line is \"name slots=N\"", name);
    if (strlen(name) >= HOST_NAME)
        return error_set(e, ERROR_USAGE, "a host name of %zu characters; at most %d are allowed", strlen(name), HOST_NAME - 1);
    return 0;
}

static void add(struct reading *r, const char *name, int slots)
{
    for (size_t i = 0; i < r->count; i++)
        if (!strcmp(r->hosts[i].name, name)) {
            r->hosts[i].slots += slots;
            return;
        }
    r->hosts = grow(r->hosts, &r->capacity, r->count + 1, sizeof *r->hosts);
    r->hosts[r->count].slots = slots;
    snprintf(r->hosts[r->count++].name, HOST_NAME, "%s", name);
}

static int read_line(struct reading *r, char *line, struct error *e)
{
    int slots = 1;
    char *rest = NULL;
    line[strcspn(line, "#")] = 0;
    const char *name = strtok_r(line, " \t\r", &rest);
    if (!name)
        return 0;
    if (check_name(name, e))
        return -1;
    for (const char *word; (word = strtok_r(NULL, " \t\r", &rest));)
        if (read_word(&slots, word, e))
            return -1;
    add(r, name, slots);
    return 0;
}

int hostfile_read(struct host_line **ret, size_t *count, const char *path, struct error *e)
{
    struct reading r = {0};
    char *text;
    size_t size;
    if (file_read(&text, &size, path, e)) {
        if (e)
            e->kind = ERROR_USAGE;
        return error_prefix(e, "cluster.hostfile: ");
    }
    int status = 0, number = 0;
    char *rest = text;
    for (char *line; !status && (line = strsep(&rest, "\n"));) {
        number++;
        if (read_line(&r, line, e))
            status = error_prefix(e, "%s:%d: ", path, number);
    }
    free(text);
    if (!status && !r.count)
        status = error_set(e, ERROR_USAGE, "%s: contains no host; a line is \"name slots=N\"", path);
    if (status) {
        free(r.hosts);
        return -1;
    }
    *ret = r.hosts;
    *count = r.count;
    return 0;
}
