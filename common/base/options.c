/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/options.h"

#include "common/base/buffer.h"
#include "common/base/memory.h"
#include "common/base/near.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct option common_options[] = {
    {"verbose", 'v', NULL, NULL, "say more on standard error"},
    {"help", 'h', NULL, NULL, "print this"},
    {NULL},
};

static const struct option no_options[] = {{NULL}};

static const char *program_of(const struct verb *v)
{
    return v->program ? v->program : "muster";
}

static const struct option *own_options(const struct verb *v)
{
    return v->options ? v->options : no_options;
}

static int find_option(const struct option *options, const char *name, size_t size, char letter)
{
    for (int i = 0; options[i].name; i++)
        if (letter ? options[i].letter == letter : strlen(options[i].name) == size && strncmp(options[i].name, name, size) == 0)
            return i;
    return -1;
}

static int unknown_option(const struct verb *v, const char *typed, struct error *e)
{
    const char *names[OPTIONS_MOST + 2];
    size_t count = 0;
    for (const struct option *o = own_options(v); o->name; o++)
        names[count++] = o->name;
    for (const struct option *o = common_options; o->name; o++)
        names[count++] = o->name;
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(typed + strspn(typed, "-"), "="), typed + strspn(typed, "-"));
    const char *near = near_word(name, names, count);
    if (near)
        return error_set(e, ERROR_USAGE, "%s: unknown option %s; did you mean --%s?", v->name, typed, near);
    if (v->takes_job)
        return error_set(e, ERROR_USAGE, "%s: unknown option %s; keys of the job are given as key=value, such as train.lr=1e-5",
                         v->name, typed);
    return error_set(e, ERROR_USAGE, "%s: unknown option %s; `%s %s --help` lists the options", v->name, typed, program_of(v),
                     v->name);
}

/* One argument that starts with '-'; *i moves on when the value is the next argument. */
static int read_option(struct arguments *a, int argc, char **argv, int *i, struct error *e)
{
    const char *typed = argv[*i];
    bool longer = typed[1] == '-';
    const char *name = typed + 2, *equals = longer ? strchr(name, '=') : NULL;
    size_t size = equals ? (size_t)(equals - name) : strlen(name);
    char letter = longer ? 0 : typed[1];
    if (!longer && typed[2])
        return unknown_option(a->verb, typed, e);
    int common = find_option(common_options, name, size, letter), own = find_option(own_options(a->verb), name, size, letter);
    if (common >= 0 && !equals) {
        *(common == 0 ? &a->verbose : &a->help) = true;
        return 0;
    }
    if (own < 0)
        return unknown_option(a->verb, typed, e);
    const struct option *o = &a->verb->options[own];
    if (!o->value) {
        if (equals)
            return error_set(e, ERROR_USAGE, "%s: --%s takes no value", a->verb->name, o->name);
        a->values[own] = "";
        return 0;
    }
    if (!equals && *i + 1 >= argc)
        return error_set(e, ERROR_USAGE, "%s: --%s needs a value: %s", a->verb->name, o->name, o->value);
    a->values[own] = equals ? equals + 1 : argv[++*i];
    a->given[a->given_count++] = (struct argument_given){own, a->values[own]};
    return 0;
}

/* The n-th capital word of "JOB [key=value ...]". */
static void argument_name(char name[64], const struct verb *v, size_t n)
{
    const char *at = v->arguments;
    for (;; n--) {
        at += strspn(at, " ");
        size_t size = strcspn(at, " ");
        snprintf(name, 64, "%.*s", (int)size, at);
        if (n == 0 || !*at)
            return;
        at += size;
    }
}

static int check_count(const struct arguments *a, struct error *e)
{
    const struct verb *v = a->verb;
    char name[64];
    if (a->count < v->least) {
        argument_name(name, v, a->count);
        return error_set(e, ERROR_USAGE, "%s: %s is missing; usage: %s %s %s", v->name, name, program_of(v), v->name,
                         v->arguments);
    }
    if (a->count > v->most)
        return error_set(e, ERROR_USAGE, "%s: \"%s\" is one argument too many; usage: %s %s%s%s", v->name, a->positional[v->most],
                         program_of(v), v->name, v->arguments[0] ? " " : "", v->arguments);
    return 0;
}

int arguments_read(struct arguments *ret, const struct verb *v, int argc, char **argv, struct error *e)
{
    struct arguments a = {.verb = v,
                          .positional = allocate((size_t)argc + 1, sizeof(char *)),
                          .given = allocate((size_t)argc + 1, sizeof(struct argument_given))};
    bool options_end = false;
    for (int i = 0; i < argc; i++) {
        if (options_end || v->passes_on || argv[i][0] != '-' || !argv[i][1])
            a.positional[a.count++] = argv[i];
        else if (strcmp(argv[i], "--") == 0)
            options_end = true;
        else if (read_option(&a, argc, argv, &i, e) != 0)
            goto fail;
    }
    if (!a.help && check_count(&a, e) != 0)
        goto fail;
    *ret = a;
    return 0;
fail:
    arguments_free(&a);
    return -1;
}

void arguments_free(struct arguments *a)
{
    free(a->positional);
    free(a->given);
    memset(a, 0, sizeof *a);
}

const char *argument(const struct arguments *a, const char *option)
{
    int i = find_option(own_options(a->verb), option, strlen(option), 0);
    return i < 0 ? NULL : a->values[i] ? a->values[i] : a->verb->options[i].fallback;
}

bool argument_given(const struct arguments *a, const char *option)
{
    int i = find_option(own_options(a->verb), option, strlen(option), 0);
    return i >= 0 && a->values[i];
}

const char *argument_next(const struct arguments *a, const char *option, size_t *at)
{
    int i = find_option(own_options(a->verb), option, strlen(option), 0);
    while (*at < a->given_count)
        if (a->given[(*at)++].option == i)
            return a->given[*at - 1].value;
    return NULL;
}

int argument_number(double *ret, const struct arguments *a, const char *option, double low, double high, struct error *e)
{
    const char *text = argument(a, option);
    char *end;
    double x = strtod(text, &end);
    if (end == text || *end || !isfinite(x) || x < low || x > high)
        return error_set(e, ERROR_USAGE, "%s: --%s: expected a number from %g to %g, found \"%s\"", a->verb->name, option, low,
                         high, text);
    *ret = x;
    return 0;
}

int argument_whole(int *ret, const struct arguments *a, const char *option, int low, int high, struct error *e)
{
    const char *text = argument(a, option);
    char *end;
    errno = 0;
    long x = strtol(text, &end, 10);
    if (end == text || *end || errno || x < low || x > high)
        return error_set(e, ERROR_USAGE, "%s: --%s: expected a whole number from %d to %d, found \"%s\"", a->verb->name, option,
                         low, high, text);
    *ret = (int)x;
    return 0;
}

int argument_choice(int *ret, const struct arguments *a, const char *option, const char *const *choices, struct error *e)
{
    const char *text = argument(a, option);
    char hint[64];
    size_t count = 0;
    struct buffer list = {0};
    for (; choices[count]; count++) {
        if (!strcmp(choices[count], text)) {
            *ret = (int)count;
            buffer_free(&list);
            return 0;
        }
        buffer_printf(&list, "%s%s", !count ? "" : choices[count + 1] ? ", " : " or ", choices[count]);
    }
    error_set(e, ERROR_USAGE, "%s: --%s: expected %s, found \"%s\"%s", a->verb->name, option, list.data, text,
              near_hint(hint, sizeof hint, text, choices, count));
    buffer_free(&list);
    return -1;
}

static void print_option(const struct option *o)
{
    char left[64], letter[8] = "    ";
    if (o->letter)
        snprintf(letter, sizeof letter, "-%c, ", o->letter);
    snprintf(left, sizeof left, "%s--%s%s%s", letter, o->name, o->value ? " " : "", o->value ? o->value : "");
    printf("  %-28s %s", left, o->help);
    if (o->fallback)
        printf(" (default: %s)", o->fallback);
    printf("\n");
}

void verb_print_help(const struct verb *v)
{
    printf("%s %s %s\n  %s\n\nOptions\n", program_of(v), v->name, v->arguments, v->summary);
    for (const struct option *o = own_options(v); o->name; o++)
        print_option(o);
    for (const struct option *o = common_options; o->name; o++)
        print_option(o);
}

const struct verb *verb_find(const struct verb *verbs, const char *name, struct error *e)
{
    const char *names[64];
    size_t count = 0;
    for (const struct verb *v = verbs; v->name; v++) {
        if (strcmp(v->name, name) == 0)
            return v;
        names[count++] = v->name;
    }
    const char *near = near_word(name, names, count);
    if (near)
        error_set(e, ERROR_USAGE, "unknown verb \"%s\"; did you mean \"%s\"?", name, near);
    else
        error_set(e, ERROR_USAGE, "unknown verb \"%s\"; `%s --help` lists the verbs", name, program_of(verbs));
    return NULL;
}
