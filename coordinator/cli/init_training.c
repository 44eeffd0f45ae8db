/* SPDX-License-Identifier: Apache-2.0 */
/* How the model is trained and its rule tuned. */
#include "coordinator/cli/init_draft.h"

#include "common/base/machine.h"
#include "coordinator/cli/init_memory.h"

#include <math.h>

static uint32_t choose_length(struct init_draft *d)
{
    uint32_t most = d->limit && d->limit < 512 ? d->limit : 512, length = (d->p95 + 31) / 32 * 32;
    if (length > most)
        length = most;
    init_because("train.max_length", "%u: rows have %u tokens (median), %u (95th percentile), %u (longest)%s", length, d->p50,
                 d->p95, d->longest, d->p95 > length ? "; longer rows are truncated" : "");
    return length;
}

/* Small encoders learn at higher rates than wide ones. */
static void choose_rate(struct init_draft *d)
{
    double lr = d->width && d->width <= 400 ? 3e-4 : d->width <= 800 ? 5e-5 : 2e-5;
    json_set_number(d->section, "lr", lr);
    json_set_number(d->section, "warmup", 0.1);
    if (d->width)
        init_because("train.lr", "%g: for an encoder %u wide", lr, d->width);
    else
        init_because("train.lr", "%g: for an encoder 768 wide; the model is not here to look at", lr);
    init_because("train.warmup", "0.1: the first tenth of the steps; new classifier weights make the first gradients large");
}

/* Files without one for validation have to give those rows, too. */
static double training_rows(const struct init_draft *d)
{
    double rows = (double)init_part_rows(d, PART_TRAIN);
    bool drawn = d->files.paths[PART_TRAIN] && !d->files.paths[PART_VALIDATION];
    return !init_parts_given(d) ? 0.7 * rows : drawn ? 0.7 / 0.85 * rows : rows;
}

/* So many epochs that the optimizer takes enough steps to learn at all, and then to tell the labels apart, as far as this takes
 * no longer than three epochs of what people use otherwise: bench/LOG.md has the figures. */
static void choose_epochs(struct init_draft *d)
{
    size_t labels = d->records.label_count - init_rarer_than(d, d->least ? d->least : 1);
    double rows = training_rows(d), least = d->g.multi ? 900 : 200, apart = 10.0 * (double)labels;
    uint32_t batch = rows < 3000 && !d->g.multi ? 8 : rows < 10000 ? 16 : 32;
    double steps = ceil(rows / batch);
    double epochs = fmax(fmin(ceil(least / steps), d->g.multi ? 20 : 10), fmin(ceil(apart / steps), 7));
    json_set_number(d->section, "epochs", fmax(epochs, 3));
    json_set_number(d->section, "batch", batch);
    init_because("train.batch", "%u: %.0f rows to train; %s", batch, rows,
                 batch == 8   ? "small batches make more steps of few rows"
                 : d->g.multi ? "rare labels need more rows a step"
                              : "enough for larger batches");
    init_because("train.epochs", "%.0f: %.0f steps each, %.0f are wanted for %zu labels; the best epoch by train.select is kept",
                 fmax(epochs, 3), steps, fmax(least, apart), labels);
}

/* Weights pay where the rule cannot make up for a rare label: of two labels the threshold can, of many classes they cost the
 * others. */
static void choose_weights(struct init_draft *d)
{
    bool two = d->records.label_count == 2;
    if (!d->g.multi) {
        json_set_string(d->section, "class_weights", "none");
        init_because("train.class_weights", "none: %s",
                     two ? "the threshold is tuned on validation"
                         : "weights for rare labels cost more errors on the others than they save");
        if (!two)
            return;
        json_set_string(d->section, "select", "best_f1");
        init_because("train.select",
                     "best_f1: F1 at the best threshold, which is tuned afterwards; the loss rises while F1 still does");
        return;
    }
    struct json *weights = json_set(d->section, "pos_weight", json_array());
    json_append(weights, json_of_number(1));
    json_append(weights, json_of_number(10));
    json_set_string(d->section, "head_bias", "shares");
    json_set_string(d->section, "select", "best_f1");
    init_because("train.head_bias",
                 "shares: from 0 the encoder first learns that labels are rare, from any text the same, and forgets the rest");
    init_because("train.pos_weight", "[1, 10]: most labels are absent from most rows");
    init_because("train.select", "best_f1: F1 at the best threshold shows what is learnt before any label reaches 0.5");
}

static void choose_precision(struct init_draft *d)
{
    bool bf16 = machine_gains_by_bf16();
    json_set_string(d->section, "precision", bf16 ? "bf16" : "f32");
    init_because("train.precision", "%s",
                 bf16 ? "bf16: this CPU multiplies it faster than f32" : "f32: this CPU multiplies bf16 no faster");
}

/* So many rows at once as fit beside what else the machine has to do. */
static void choose_micro_batch(struct init_draft *d)
{
    const struct json *batch = json_get(d->section, "batch"), *length = json_get(d->section, "max_length");
    struct init_memory m;
    struct init_training t = {.model = d->directory,
                              .precision = json_string(json_get(d->section, "precision")),
                              .multi = d->g.multi,
                              .vocabulary = d->vocabulary,
                              .labels = (uint32_t)d->records.label_count,
                              .batch = (uint32_t)json_number(batch),
                              .max_length = (uint32_t)json_number(length)};
    if (!d->directory || !init_fit_memory(&m, &t))
        return;
    double needed = 1e-9 * (double)m.needed, available = 1e-9 * (double)m.available;
    if (m.needed > m.allowed)
        init_because("train.micro_batch",
                     "1: takes up to %.2f GB, more than half of the %.2f GB that are available; train.freeze or a "
                     "shorter train.max_length need less",
                     needed, available);
    else if (m.micro_batch < t.batch)
        init_because("train.micro_batch",
                     "%u rows of the batch at once: up to %.2f GB, the most that is at most half of the %.2f GB "
                     "available",
                     m.micro_batch, needed, available);
    else
        init_because("train.micro_batch", "the whole batch: up to %.2f GB of the %.2f GB available", needed, available);
    if (m.micro_batch < t.batch)
        json_set_number(d->section, "micro_batch", m.micro_batch);
}

void init_choose_training(struct init_draft *d)
{
    d->section = json_set(d->job, "train", json_object());
    choose_rate(d);
    choose_epochs(d);
    json_set_number(d->section, "max_length", choose_length(d));
    json_set_string(d->section, "truncation",
                    d->g.b_count && guess_words(&d->g, d->g.main_b) > guess_words(&d->g, d->g.main_a) ? "only_second"
                                                                                                      : "longest_first");
    choose_weights(d);
    choose_precision(d);
    choose_micro_batch(d);
}

void init_choose_tuning(struct init_draft *d)
{
    d->section = json_set(d->job, "tune", json_object());
    json_set_string(d->section, "ties", "middle");
    init_because("tune.ties", "middle: of thresholds with the same score the one that is farthest from any other");
    if (!d->g.multi)
        return;
    json_set_string(d->section, "per_class", "auto");
    init_because("tune.per_class", "auto: labels have their own threshold where cross-validation within validation shows a gain");
}
