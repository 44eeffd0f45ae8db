/* SPDX-License-Identifier: Apache-2.0 */
#include "common/text/normalizer_steps.h"

#include "common/base/base64.h"
#include "common/base/memory.h"
#include "common/text/normal_form.h"
#include "common/text/precompiled.h"
#include "common/text/replace.h"

#include <stdlib.h>
#include <string.h>

/* Kinds without settings. */

#define PLAIN_STEP(name, call)                                                                                                   \
    static void apply_##name(const void *state, const char *text, size_t size, struct buffer *to)                                \
    {                                                                                                                            \
        (void)state;                                                                                                             \
        call;                                                                                                                    \
    }                                                                                                                            \
    int read_##name(struct normalizer_step *ret, const struct json *j, const struct pipeline_source *s, struct error *e)         \
    {                                                                                                                            \
        (void)j, (void)s, (void)e;                                                                                               \
        *ret = (struct normalizer_step){.apply = apply_##name};                                                                  \
        return 0;                                                                                                                \
    }

PLAIN_STEP(nfc, normal_form_apply(NORMAL_NFC, text, size, to))
PLAIN_STEP(nfd, normal_form_apply(NORMAL_NFD, text, size, to))
PLAIN_STEP(nfkc, normal_form_apply(NORMAL_NFKC, text, size, to))
PLAIN_STEP(nfkd, normal_form_apply(NORMAL_NFKD, text, size, to))
PLAIN_STEP(lowercase, text_lower(text, size, to))
PLAIN_STEP(strip_accents, text_strip_accents(text, size, to))
PLAIN_STEP(nmt, text_nmt(text, size, to))

/* Strip. */

struct strip {
    bool left, right;
};

static void apply_strip(const void *state, const char *text, size_t size, struct buffer *to)
{
    const struct strip *s = state;
    text_strip(s->left, s->right, text, size, to);
}

int read_strip(struct normalizer_step *ret, const struct json *j, const struct pipeline_source *s, struct error *e)
{
    const struct json *left = json_get(j, "strip_left"), *right = json_get(j, "strip_right");
    if (!left || !right || json_type(left) != JSON_BOOLEAN || json_type(right) != JSON_BOOLEAN)
        return error_set(e, ERROR_DATA, "%s: its normalizer Strip needs strip_left and strip_right, true or false", s->path);
    struct strip *state = allocate(1, sizeof *state);
    *state = (struct strip){json_boolean(left), json_boolean(right)};
    *ret = (struct normalizer_step){apply_strip, free, state};
    return 0;
}

/* Prepend. */

static void apply_prepend(const void *state, const char *text, size_t size, struct buffer *to)
{
    if (size)
        buffer_text(to, state);
    buffer_append(to, text, size);
}

int read_prepend(struct normalizer_step *ret, const struct json *j, const struct pipeline_source *s, struct error *e)
{
    const char *text = json_string(json_get(j, "prepend"));
    if (!text)
        return error_set(e, ERROR_DATA, "%s: its normalizer Prepend has no \"prepend\"", s->path);
    *ret = (struct normalizer_step){apply_prepend, free, duplicate(text)};
    return 0;
}

/* Replace. */

static void apply_replace(const void *state, const char *text, size_t size, struct buffer *to)
{
    replace_apply(state, text, size, to);
}

static void destroy_replace(void *state)
{
    struct replace *r = state;
    replace_destroy(&r);
}

int read_replace(struct normalizer_step *ret, const struct json *j, const struct pipeline_source *s, struct error *e)
{
    const struct json *pattern = json_get(j, "pattern");
    const char *text = json_string(json_get(pattern, "String")), *expression = json_string(json_get(pattern, "Regex")),
               *content = json_string(json_get(j, "content"));
    struct replace *r;
    if (!content || !(text || expression))
        return error_set(e, ERROR_DATA, "%s: its normalizer Replace needs a pattern {\"String\" or \"Regex\"} and a content",
                         s->path);
    if (replace_create(&r, text ? text : expression, !text, content, e))
        return error_prefix(e, "%s: ", s->path);
    *ret = (struct normalizer_step){apply_replace, destroy_replace, r};
    return 0;
}

/* Precompiled. */

static void apply_precompiled(const void *state, const char *text, size_t size, struct buffer *to)
{
    precompiled_apply(state, text, size, to);
}

static void destroy_precompiled(void *state)
{
    struct precompiled *p = state;
    precompiled_destroy(&p);
}

int read_precompiled(struct normalizer_step *ret, const struct json *j, const struct pipeline_source *s, struct error *e)
{
    const char *text = json_string(json_get(j, "precompiled_charsmap"));
    struct precompiled *p;
    uint8_t *bytes;
    size_t size;
    if (!text || !base64_decode(text, &bytes, &size))
        return error_set(e, ERROR_DATA, "%s: its normalizer Precompiled has no precompiled_charsmap in base64", s->path);
    int failed = precompiled_create(&p, bytes, size, e);
    free(bytes);
    if (failed)
        return error_prefix(e, "%s: ", s->path);
    *ret = (struct normalizer_step){apply_precompiled, destroy_precompiled, p};
    return 0;
}
