/* SPDX-License-Identifier: Apache-2.0 */
/* muster predict: labels, probabilities and logits of a file's rows, in one pass. */
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/format/results.h"
#include "coordinator/bundle/bundle_score.h"
#include "coordinator/cli/verbs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct option predict_options[] = {
    {"output", 'o', "FILE", NULL,
     "output file: .jsonl, or .h5 with id, logits, probabilities and decided; default: JSON Lines on standard output"},
    {"device", 0, "NAME", "auto", "compute device: auto, cpu, cpu_reference"},
    {"threads", 0, "N", "0", "threads; 0: all cores"},
    {NULL},
};

static struct json *row_to_json(const struct bundle_score *s, uint32_t i)
{
    const struct label_set *labels = bundle_labels(s->bundle);
    struct json *row = json_object();
    json_set_string(row, "id", dataset_id(s->data, i));
    if (labels->multi) {
        struct json *list = json_set(row, "labels", json_array());
        for (uint32_t c = 0; c < s->labels; c++)
            if (s->decided[(size_t)i * s->labels + c])
                json_append(list, json_of_string(labels->names[c]));
    } else {
        json_set_string(row, "label", labels->names[bundle_score_predict(s, i)]);
    }
    struct json *p = json_set(row, "probabilities", json_object()), *logits = json_set(row, "logits", json_array());
    for (uint32_t c = 0; c < s->labels; c++) {
        json_set_number(p, labels->names[c], s->probability[(size_t)i * s->labels + c]);
        json_append(logits, json_of_number(s->logits[(size_t)i * s->labels + c]));
    }
    return row;
}

static void print_rows(FILE *to, const struct bundle_score *s)
{
    for (uint32_t i = 0; i < s->rows; i++) {
        struct json *row = row_to_json(s, i);
        char *text = json_print(row, false);
        fprintf(to, "%s\n", text);
        free(text);
        json_destroy(&row);
    }
}

static int write_rows(const char *path, const struct bundle_score *s, struct error *e)
{
    struct file_writer *w;
    if (file_writer_create(&w, path, e) != 0)
        return -1;
    print_rows(file_writer_stream(w), s);
    return file_writer_commit(&w, e);
}

static int write_h5(const char *path, const struct bundle_score *s, struct error *e)
{
    struct predictions p = {.data = s->data,
                            .label_names = (const char *const *)bundle_labels(s->bundle)->names,
                            .labels = s->labels,
                            .logits = s->logits,
                            .probabilities = s->probability,
                            .decided = s->decided};
    return predictions_write(path, &p, e);
}

static bool is_standard_output(const char *path)
{
    return !path || strcmp(path, "-") == 0;
}

/* Before the work, not after it. */
static int check_writable(const char *path, struct error *e)
{
    return is_standard_output(path) ? 0 : file_check_writable(path, e);
}

static int write_output(const char *path, const struct bundle_score *s, struct error *e)
{
    const char *suffix = path ? strrchr(path, '.') : NULL;
    if (is_standard_output(path)) {
        print_rows(stdout, s);
        return 0;
    }
    if ((suffix && strcmp(suffix, ".h5") == 0 ? write_h5(path, s, e) : write_rows(path, s, e)) != 0)
        return -1;
    log_info("%s: %u rows", path, s->rows);
    return 0;
}

int verb_predict(const struct arguments *a, struct error *e)
{
    struct bundle_score s;
    struct bundle_score_options o = {.device = argument(a, "device")};
    if (argument_whole(&o.threads, a, "threads", 0, 4096, e) != 0 || check_writable(argument(a, "output"), e) != 0 ||
        bundle_score_run(&s, a->positional[0], a->positional[1], false, &o, e) != 0)
        return -1;
    int status = write_output(argument(a, "output"), &s, e);
    bundle_score_free(&s);
    return status;
}
