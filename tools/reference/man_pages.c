/* SPDX-License-Identifier: Apache-2.0 */
/* Manual pages, in man(7). */
#include "common/base/buffer.h"
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/base/version.h"
#include "coordinator/cli/verbs.h"
#include "coordinator/job/job_fields.h"
#include "tools/reference/reference.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* Text as it is: no character of it is markup, "-" is the one that is typed, and no line of it is a request. */
static void put_text(struct buffer *b, const char *text)
{
    for (const char *c = text; *c; c++)
        if (*c == '\\')
            buffer_text(b, "\\(rs");
        else if (*c == '-')
            buffer_text(b, "\\-");
        else if (*c == '\'' || *c == '`' || *c == '^' || *c == '~')
            buffer_printf(b, "\\(%s", *c == '\'' ? "aq" : *c == '`' ? "ga" : *c == '^' ? "ha" : "ti");
        else if (*c == '.' && (c == text || c[-1] == '\n'))
            buffer_text(b, "\\&.");
        else
            buffer_append(b, c, 1);
}

static void put_bold(struct buffer *b, const char *text)
{
    buffer_text(b, "\\fB");
    put_text(b, text);
    buffer_text(b, "\\fR");
}

static void put_italic(struct buffer *b, const char *text)
{
    buffer_text(b, "\\fI");
    put_text(b, text);
    buffer_text(b, "\\fR");
}

static void begin(struct buffer *b, const char *name, int section, const char *date, const char *summary)
{
    char *title = duplicate(name);
    for (char *c = title; *c; c++)
        *c = (char)toupper((unsigned char)*c);
    buffer_text(b, ".TH ");
    put_text(b, title);
    buffer_printf(b, " %d %s \"muster " MUSTER_VERSION "\" \"Muster manual\"\n.SH NAME\n", section, date);
    put_text(b, name);
    buffer_text(b, " \\- ");
    put_text(b, summary);
    buffer_text(b, "\n");
    free(title);
}

static void put_see_also(struct buffer *b, const char *const *pages, size_t count)
{
    buffer_text(b, ".SH SEE ALSO\n");
    for (size_t i = 0; i < count; i++) {
        const char *bracket = strchr(pages[i], '(');
        char *name = format_string("%.*s", (int)(bracket - pages[i]), pages[i]);
        put_bold(b, name);
        buffer_printf(b, "%s%s\n", bracket, i + 1 < count ? "," : "");
        free(name);
    }
}

/* Lines of text end before column 80, at a space that no request follows. */
static void wrap(struct buffer *b)
{
    size_t start = 0, space = 0;
    for (size_t i = 0; i < b->size; i++) {
        if (b->data[i] == '\n')
            start = i + 1, space = 0;
        else if (b->data[i] == ' ' && b->data[start] != '.' && i > start && b->data[i + 1] != '.' && b->data[i + 1] != '\'')
            space = i - start < 76 || !space ? i : space;
        if (i - start >= 76 && i > start && space > start) {
            b->data[space] = '\n';
            start = space + 1, space = 0;
        }
    }
}

static int finish(struct buffer *b, const char *directory, const char *name, int section, struct error *e)
{
    char *file = format_string("%s.%d", name, section), *path = path_join(directory, file);
    wrap(b);
    int status = file_write(path, b->data, b->size, e);
    free(file);
    free(path);
    buffer_free(b);
    return status;
}

static void put_option(struct buffer *b, const char *name, char letter, const char *value, const char *fallback, const char *help)
{
    buffer_text(b, ".TP\n");
    if (letter) {
        put_bold(b, (char[]){'-', letter, 0});
        buffer_text(b, ", ");
    }
    char *dashed = format_string("--%s", name);
    put_bold(b, dashed);
    free(dashed);
    if (value) {
        buffer_text(b, " ");
        put_italic(b, value);
    }
    buffer_text(b, "\n");
    put_text(b, help);
    if (fallback) {
        buffer_text(b, "\n(default: ");
        put_text(b, fallback);
        buffer_text(b, ")");
    }
    buffer_text(b, "\n");
}

static void put_options(struct buffer *b, const struct option *options)
{
    for (const struct option *o = options; o && o->name; o++)
        put_option(b, o->name, o->letter, o->value, o->fallback, o->help);
}

static void put_json_options(struct buffer *b, const struct json *options)
{
    for (size_t i = 0; i < json_size(options); i++) {
        const struct json *o = json_at(options, i);
        put_option(b, json_string(json_get(o, "name")), 0, json_string(json_get(o, "value")), json_string(json_get(o, "default")),
                   json_string(json_get(o, "help")));
    }
}

static const struct {
    const char *code, *meaning;
} exit_codes[] = {
    {"0", "done"},
    {"1", "failed"},
    {"2", "wrong usage, or an error in the job file"},
    {"3", "the data was refused"},
    {"4", "a gate was not met (muster evaluate --min-f1)"},
    {"75", "stopped by a signal; the same command resumes"},
};

static void put_exit_codes(struct buffer *b)
{
    buffer_text(b, ".SH EXIT STATUS\n");
    for (size_t i = 0; i < sizeof exit_codes / sizeof exit_codes[0]; i++) {
        buffer_printf(b, ".TP\n%s\n", exit_codes[i].code);
        put_text(b, exit_codes[i].meaning);
        buffer_text(b, "\n");
    }
}

static void put_job_arguments(struct buffer *b)
{
    buffer_text(b, ".PP\n.I JOB\nis a job file, described in\n.BR muster\\-job (5).\nEach\n.IR key = value\n"
                   "overrides a key of it, such as\n");
    put_bold(b, "train.lr=1e-5");
    buffer_text(b, ".\n");
}

static int write_verb(const char *directory, const char *date, const struct verb *v, const struct json *worker, struct error *e)
{
    static const char *const of_job[] = {"muster(1)", "muster-job(5)"};
    struct buffer b = {0};
    char *name = format_string("muster-%s", v->name);
    begin(&b, name, 1, date, v->summary);
    buffer_text(&b, ".SH SYNOPSIS\n");
    put_bold(&b, "muster");
    buffer_text(&b, " ");
    put_bold(&b, v->name);
    if (!v->passes_on)
        buffer_text(&b, " [\\fIoption ...\\fR]");
    buffer_text(&b, *v->arguments ? " " : "");
    put_italic(&b, v->arguments);
    buffer_text(&b, "\n.SH DESCRIPTION\n");
    put_bold(&b, v->name);
    buffer_text(&b, ": ");
    put_text(&b, v->summary);
    buffer_text(&b, ".\n");
    if (v->takes_job)
        put_job_arguments(&b);
    buffer_text(&b, ".SH OPTIONS\n");
    if (v->passes_on) /* muster-worker has a verb of this name, and its options */
        put_json_options(&b, json_get(worker, v->name));
    put_options(&b, v->options);
    put_options(&b, common_options);
    put_exit_codes(&b);
    put_see_also(&b, of_job, v->takes_job ? 2 : 1);
    int status = finish(&b, directory, name, 1, e);
    free(name);
    return status;
}

static int write_muster(const char *directory, const char *date, struct error *e)
{
    struct buffer b = {0};
    const char *pages[64];
    char *names[64];
    size_t count = 0;
    begin(&b, "muster", 1, date, "fine-tune BERT-like text classifiers on one machine or a cluster");
    buffer_text(
        &b, ".SH SYNOPSIS\n\\fBmuster\\fR \\fIverb\\fR [\\fIoption ...\\fR] [\\fIargument ...\\fR]\n.SH DESCRIPTION\n"
            ".B muster\nreads rows of text with labels and a job file, checks and splits the data, trains a sweep of trials on "
            "worker processes, chooses decision thresholds on the validation part, scores the winner on the test part, and "
            "publishes it as a bundle: a model directory that carries its own decision rule.\n"
            "After any crash or stop, run the same command again: it resumes from the last checkpoint.\n.SH VERBS\n");
    for (const struct verb *v = verbs; v->name; v++) {
        buffer_text(&b, ".TP\n");
        put_bold(&b, v->name);
        buffer_text(&b, *v->arguments ? " " : "");
        put_italic(&b, v->arguments);
        buffer_text(&b, "\n");
        put_text(&b, v->summary);
        buffer_text(&b, "\n");
        names[count] = format_string("muster-%s(1)", v->name);
        pages[count] = names[count];
        count++;
    }
    buffer_text(&b, ".SH OPTIONS\n");
    put_option(&b, "version", 0, NULL, NULL, "print the version");
    put_options(&b, common_options);
    put_exit_codes(&b);
    buffer_text(&b, ".SH ENVIRONMENT\n.TP\n.B MUSTER_FAULT\na planned fault, to test what happens after it\n");
    pages[count++] = "muster-worker(1)";
    pages[count++] = "muster-job(5)";
    put_see_also(&b, pages, count);
    for (size_t i = 0; i + 2 < count; i++)
        free(names[i]);
    return finish(&b, directory, "muster", 1, e);
}

static int write_worker(const char *directory, const char *date, const struct json *worker, struct error *e)
{
    static const char *const pages[] = {"muster(1)", "muster-bench(1)"};
    struct buffer b = {0};
    begin(&b, "muster-worker", 1, date, "take trials from a running muster and train them");
    buffer_text(&b, ".SH SYNOPSIS\n");
    put_bold(&b, "muster-worker --connection");
    buffer_text(&b, " \\fIFILE\\fR [\\fIoption ...\\fR]\n.SH DESCRIPTION\n");
    put_bold(&b, "muster");
    buffer_text(&b, "\nstarts its workers itself; one is started by hand for a job with cluster.launcher \\(dqnone\\(dq.\n"
                    ".SH OPTIONS\n");
    put_json_options(&b, json_get(worker, "work"));
    put_option(&b, "version", 0, NULL, NULL, "print the version");
    put_options(&b, common_options);
    buffer_text(&b, ".SH ENVIRONMENT\n.TP\n.B MUSTER_TRACE\na file for a trace of what each rank does when, for Perfetto\n");
    put_exit_codes(&b);
    put_see_also(&b, pages, 2);
    return finish(&b, directory, "muster-worker", 1, e);
}

/* "number, 0 < x <= 1", "one of "f32", "bf16"", "a list of strings". */
static void put_type(struct buffer *b, const struct job_field *f)
{
    static const char *const names[] = {
        [JOB_STRING] = "string",
        [JOB_WORD] = "one of",
        [JOB_TRUNCATION] = "one of",
        [JOB_RULE] = "one of",
        [JOB_SCHEDULER] = "one of",
        [JOB_NUMBER] = "number",
        [JOB_COUNT] = "integer",
        [JOB_POINTS] = "integer",
        [JOB_SEED] = "integer",
        [JOB_SEEDS] = "list of integers",
        [JOB_BOOLEAN] = "true or false",
        [JOB_STRINGS] = "list of strings",
        [JOB_LABEL] = "string, or list of strings",
        [JOB_CLASS_WEIGHTS] = "list of numbers above 0, or one of",
        [JOB_INTERVAL] = "\"epoch\", \"N steps\" or \"N minutes\"",
        [JOB_BOUNDS] = "[low, high]",
        [JOB_LIMITS] = "object of integers",
        [JOB_LISTS] = "list of lists of strings",
        [JOB_SWEEP] = "object of lists or ranges",
    };
    bool number = f->type == JOB_NUMBER || f->type == JOB_COUNT || f->type == JOB_POINTS || f->type == JOB_SEED;
    char range[96];
    put_text(b, names[f->type]);
    for (size_t i = 0; f->words && f->words[i]; i++) {
        buffer_text(b, i == 0 && f->type != JOB_STRINGS ? " " : i == 0 ? ", each of " : ", ");
        put_text(b, f->words[i]);
    }
    if (number) {
        snprintf(range, sizeof range, ", %s %.16g, %s %.16g", f->flags & JOB_ABOVE ? "above" : "at least", f->low,
                 f->flags & JOB_BELOW ? "below" : "at most", f->high);
        put_text(b, range);
    }
    if (f->flags & JOB_REQUIRED) {
        buffer_text(b, "; required");
    } else {
        buffer_text(b, job_field_takes_null(f) ? ", or null; default: " : "; default: ");
        put_text(b, f->fallback);
    }
    if (f->flags & JOB_SWEPT)
        buffer_text(b, "; may be swept");
}

static int write_job(const char *directory, const char *date, struct error *e)
{
    static const char *const pages[] = {"muster(1)", "muster-run(1)", "muster-schema(1)", "muster-init(1)"};
    struct buffer b = {0};
    begin(&b, "muster-job", 5, date, "the job file of muster");
    buffer_text(&b, ".SH DESCRIPTION\nA job file is one JSON object. Keys with a dot are members of a section: "
                    "\\fBtrain.lr\\fR is \\fBlr\\fR in the object \\fBtrain\\fR. On the command line the dotted name is used, "
                    "as in \\fBtrain.lr=1e\\-5\\fR. An unknown key is an error.\n.PP\nA member \\fB$schema\\fR names the schema "
                    "that\n.BR muster\\-schema (1)\nprints, for editors; it is not part of the job.\n.SH KEYS\n");
    for (size_t i = 0; i < job_field_count; i++) {
        buffer_text(&b, ".TP\n");
        put_bold(&b, job_fields[i].key);
        buffer_text(&b, "\n");
        put_text(&b, job_fields[i].help);
        buffer_text(&b, "\n.br\n(");
        put_type(&b, &job_fields[i]);
        buffer_text(&b, ")\n");
    }
    put_see_also(&b, pages, sizeof pages / sizeof pages[0]);
    return finish(&b, directory, "muster-job", 5, e);
}

int man_pages_write(const char *directory, const char *date, const struct json *worker, struct error *e)
{
    for (const struct verb *v = verbs; v->name; v++)
        if (write_verb(directory, date, v, worker, e) != 0)
            return -1;
    if (write_muster(directory, date, e) != 0 || write_worker(directory, date, worker, e) != 0)
        return -1;
    return write_job(directory, date, e);
}
