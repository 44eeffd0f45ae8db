/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/bundle/evidence.h"

#include "common/base/buffer.h"
#include "common/base/file.h"

#include <stdlib.h>
#include <string.h>

/* The class of a row, or the list of its labels. */
static void add_truth(struct buffer *b, const struct dataset *d, uint32_t row)
{
    if (!dataset_is_multi(d)) {
        buffer_printf(b, "%d", dataset_class(d, row));
        return;
    }
    const float *targets = dataset_targets(d, row);
    const char *between = "";
    buffer_text(b, "[");
    for (uint32_t c = 0; c < dataset_labels(d); c++)
        if (targets[c] > 0) {
            buffer_printf(b, "%s%u", between, c);
            between = ",";
        }
    buffer_text(b, "]");
}

static void add_outputs(struct buffer *b, const struct run_data *data, const struct logits *l)
{
    const uint32_t *rows = data->split.part[PART_VALIDATION].rows;
    buffer_text(b, "{\"truth\":[");
    for (uint32_t i = 0; i < l->rows; i++) {
        buffer_text(b, i ? "," : "");
        add_truth(b, data->data, rows[i]);
    }
    buffer_text(b, "],\"logits\":[");
    for (uint32_t i = 0; i < l->rows; i++) {
        buffer_text(b, i ? ",[" : "[");
        for (uint32_t c = 0; c < l->labels; c++)
            buffer_printf(b, "%s%.6g", c ? "," : "", (double)l->values[(size_t)i * l->labels + c]);
        buffer_text(b, "]");
    }
    buffer_text(b, "]}");
}

int evidence_text(char **ret, const struct bundle_source *s, struct error *e)
{
    const struct run_data *data = s->data;
    const struct logits_rows whose = {data->data, data->split.part[PART_VALIDATION].rows};
    char *path = path_join(s->place->directory, "evaluation.json");
    struct json *evaluation = NULL;
    struct logits l = {0};
    int status = json_read(&evaluation, path, e) || logits_read(&l, s->score->logits, PART_VALIDATION, s->score->epoch, &whose, e)
                     ? -1
                     : 0;
    if (status == 0) {
        struct buffer b = {0};
        char *text = json_print(evaluation, false);
        size_t size = strlen(text);
        buffer_append(&b, text, size - 1); /* without the last brace */
        buffer_text(&b, ",\"validation_outputs\":");
        if ((size_t)l.rows * l.labels <= EVIDENCE_NUMBERS_MOST)
            add_outputs(&b, data, &l);
        else
            buffer_text(&b, "null");
        buffer_text(&b, "}\n");
        *ret = b.data;
        free(text);
    }
    logits_free(&l);
    json_destroy(&evaluation);
    free(path);
    return status;
}
