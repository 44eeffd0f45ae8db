/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of both programs: one table of options per verb (parsing, --help and "did you mean" walk it). */
#pragma once

#include "common/base/error.h"

#include <stddef.h>

struct option {
    const char *name;     /* without the dashes */
    char letter;          /* or 0 */
    const char *value;    /* what it takes, for --help; NULL: a flag */
    const char *fallback; /* value when not given; NULL: none */
    const char *help;
};

#define OPTIONS_MOST 24

/* Options of every verb. They are flags and have places of their own in struct arguments. */
extern const struct option common_options[];

struct arguments;

struct verb {
    const char *name;
    const char *arguments; /* "JOB [key=value ...]"; the capitals are the names used in messages */
    const char *summary;
    size_t least, most;           /* of positional arguments */
    const struct option *options; /* ended by a row without a name; NULL: none of its own */
    bool takes_job;               /* positional: a job file and overrides */
    bool passes_on;               /* another program reads its arguments, --help too: all are positional */
    const char *program;          /* for messages; NULL: "muster" */
    int (*run)(const struct arguments *a, struct error *e);
};

struct argument_given {
    int option;
    const char *value;
};

struct arguments {
    const struct verb *verb;
    const char **positional; /* borrowed texts */
    size_t count;
    const char *values[OPTIONS_MOST]; /* by option; a flag that is there is ""; of a repeated option the last */
    struct argument_given *given;     /* all of them, in order */
    size_t given_count;
    bool help, verbose;
};

/* argv without program and verb. ERROR_USAGE: unknown option (did you mean), missing or surplus argument, by name. */
int arguments_read(struct arguments *ret, const struct verb *v, int argc, char **argv, struct error *e);
void arguments_free(struct arguments *a);
const char *argument(const struct arguments *a, const char *option); /* given value, or the table's; NULL if neither */
bool argument_given(const struct arguments *a, const char *option);
/* The values of an option that may be repeated, one a call, from *at = 0; NULL: no more. */
const char *argument_next(const struct arguments *a, const char *option, size_t *at);
/* Checked values: ERROR_USAGE with option, what is allowed and what was found. The option has a value or a fallback. */
int argument_whole(int *ret, const struct arguments *a, const char *option, int low, int high, struct error *e);
int argument_number(double *ret, const struct arguments *a, const char *option, double low, double high, struct error *e);
/* *ret: the index in `choices`, which NULL ends (did you mean). */
int argument_choice(int *ret, const struct arguments *a, const char *option, const char *const *choices, struct error *e);

void verb_print_help(const struct verb *v);
/* "unknown verb ..., did you mean ...". verbs: ended by a row without a name. */
const struct verb *verb_find(const struct verb *verbs, const char *name, struct error *e);
