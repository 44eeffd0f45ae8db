/* SPDX-License-Identifier: Apache-2.0 */
#include "common/text/metaspace.h"

#include "common/base/memory.h"
#include "common/text/utf8.h"

#include <stdlib.h>
#include <string.h>

enum prepend { PREPEND_ALWAYS, PREPEND_FIRST, PREPEND_NEVER };

struct metaspace {
    uint8_t mark[4]; /* what stands for a space */
    size_t size;
    enum prepend prepend; /* before a piece that does not start with it */
    bool split;
};

static bool starts_with_mark(const struct metaspace *m, const char *text, size_t size)
{
    return size >= m->size && !memcmp(text, m->mark, m->size);
}

static void apply_metaspace(const void *state, struct piece p, struct buffer *memory, struct piece_sink *to)
{
    const struct metaspace *m = state;
    const char *at = p.text, *end = at + p.size, *done = at;
    bool marked = *at == ' ' || starts_with_mark(m, at, p.size);
    if (!marked && (m->prepend == PREPEND_ALWAYS || (m->prepend == PREPEND_FIRST && p.first)))
        buffer_append(memory, m->mark, m->size);
    bool first = p.first;
    for (; at < end; at++) {
        bool space = *at == ' ';
        if (!space && !(*at == (char)m->mark[0] && starts_with_mark(m, at, (size_t)(end - at))))
            continue;
        buffer_append(memory, done, (size_t)(at - done));
        if (m->split && memory->size) {
            piece_put(to, memory->data, memory->size, first);
            if (*to->full)
                return;
            buffer_clear(memory);
            first = false;
        }
        buffer_append(memory, m->mark, m->size);
        at += space ? 0 : m->size - 1;
        done = at + 1;
    }
    buffer_append(memory, done, (size_t)(end - done));
    piece_put(to, memory->data, memory->size, first);
}

static int read_prepend_scheme(struct metaspace *m, const struct json *j, const char *path, struct error *e)
{
    const struct json *old = json_get(j, "add_prefix_space"), *scheme = json_get(j, "prepend_scheme");
    static const char *const names[] = {"always", "first", "never"};
    const char *name = scheme ? json_string(scheme) : names[PREPEND_ALWAYS];
    size_t found = 0;
    while (found < 3 && !(name && !strcmp(name, names[found])))
        found++;
    if (found == 3)
        return error_set(e, ERROR_DATA, "%s: Metaspace's prepend_scheme is not always, first or never", path);
    m->prepend = (enum prepend)found;
    if (!old || json_type(old) != JSON_BOOLEAN || json_boolean(old))
        return 0;
    if (scheme && m->prepend != PREPEND_NEVER)
        return error_set(e, ERROR_DATA, "%s: Metaspace's add_prefix_space is false, but its prepend_scheme is %s", path, name);
    m->prepend = PREPEND_NEVER;
    return 0;
}

int metaspace_read(struct pre_tokenizer_step *ret, const struct json *j, const struct pipeline_source *s, struct error *e)
{
    const char *mark = json_string(json_get(j, "replacement"));
    const struct json *split = json_get(j, "split");
    struct metaspace m = {.size = mark ? strlen(mark) : 0,
                          .split = !split || json_type(split) != JSON_BOOLEAN || json_boolean(split)};
    uint32_t c;
    if (!m.size || m.size > sizeof m.mark || utf8_decode((const uint8_t *)mark, (const uint8_t *)mark + m.size, &c) != m.size)
        return error_set(e, ERROR_DATA, "%s: Metaspace's replacement is not one character", s->path);
    memcpy(m.mark, mark, m.size);
    if (read_prepend_scheme(&m, j, s->path, e))
        return -1;
    struct metaspace *state = allocate(1, sizeof *state);
    *state = m;
    *ret = (struct pre_tokenizer_step){apply_metaspace, free, state};
    return 0;
}
