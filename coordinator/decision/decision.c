/* SPDX-License-Identifier: Apache-2.0 */
/* The choice among tuned trials. */
#include "coordinator/decision/decision.h"

#include "common/base/memory.h"

#include <stdlib.h>

void decision_create(struct decision *ret, size_t trials)
{
    *ret = (struct decision){.trials = allocate(trials, sizeof *ret->trials), .count = trials};
}

void decision_free(struct decision *d)
{
    for (size_t i = 0; i < d->count; i++) {
        free(d->trials[i].temperatures);
        free(d->trials[i].temperature_why);
        threshold_curve_free(&d->trials[i].curve);
        label_thresholds_free(&d->trials[i].by_label);
    }
    free(d->trials);
    free(d->order);
    *d = (struct decision){0};
}

const struct tuned_trial *decision_winner(const struct decision *d)
{
    return &d->trials[d->order[0]];
}

const struct at_threshold *decision_ranked_by(const struct tuned_trial *t, bool per_trial)
{
    return per_trial ? &t->own : &t->at_baseline;
}

enum standing { STANDING_FAILED, STANDING_PRUNED, STANDING_UNMET, STANDING_PARTLY, STANDING_MET };

struct rank {
    enum standing standing;
    double score; /* where the rule is met */
};

static struct rank rank_of(const struct tuned_trial *t, bool per_trial)
{
    const struct at_threshold *a = decision_ranked_by(t, per_trial);
    if (t->of.state != TRIAL_DONE)
        return (struct rank){t->of.state == TRIAL_PRUNED ? STANDING_PRUNED : STANDING_FAILED, 0};
    return a->met ? (struct rank){STANDING_MET, a->score} : (struct rank){STANDING_UNMET, 0};
}

static bool above(struct rank a, struct rank b)
{
    return a.standing != b.standing ? a.standing > b.standing : a.score > b.score;
}

/* By configuration: the mean of those of its trials that meet the rule. Caller frees. */
static struct rank *rank_configurations(const struct tuned_trial *trials, size_t count, bool per_trial)
{
    struct rank *ranks = allocate(count, sizeof *ranks);
    size_t *met = allocate(count, sizeof *met), *all = allocate(count, sizeof *all);
    for (size_t i = 0; i < count; i++) {
        size_t c = trials[i].of.configuration;
        struct rank own = rank_of(&trials[i], per_trial);
        all[c]++;
        met[c] += own.standing == STANDING_MET;
        ranks[c].score += own.score;
        ranks[c].standing = own.standing > ranks[c].standing ? own.standing : ranks[c].standing;
    }
    for (size_t c = 0; c < count; c++)
        if (met[c] > 0) {
            ranks[c].score /= (double)met[c];
            ranks[c].standing = met[c] == all[c] ? STANDING_MET : STANDING_PARTLY;
        }
    free(met);
    free(all);
    return ranks;
}

/* Insertion: stable, and a sweep is short. */
void decision_rank(size_t *order, const struct tuned_trial *trials, size_t count, bool per_trial)
{
    struct rank *of = rank_configurations(trials, count, per_trial);
    for (size_t i = 0; i < count; i++) {
        size_t at = i, own = trials[i].of.configuration;
        for (; at > 0; at--) {
            const struct tuned_trial *other = &trials[order[at - 1]];
            bool before = other->of.configuration == own ? above(rank_of(&trials[i], per_trial), rank_of(other, per_trial))
                                                         : above(of[own], of[other->of.configuration]);
            if (!before)
                break;
            order[at] = order[at - 1];
        }
        order[at] = i;
    }
    free(of);
}

char *decision_summary(const struct decision *d, enum decision_kind kind, uint32_t labels)
{
    uint32_t own = 0;
    if (kind == DECISION_CLASS)
        return duplicate("the most probable class");
    for (uint32_t l = 0; kind == DECISION_LABELS && l < labels; l++)
        own += d->thresholds[l] != d->threshold;
    char *threshold = d->neutral ? format_string("threshold %.4g (not tuned: %s)", d->threshold, d->neutral)
                                 : format_string("threshold %.4f", d->threshold);
    char *summary = own > 0 ? format_string("%s, and %u labels' own", threshold, own) : duplicate(threshold);
    free(threshold);
    return summary;
}

const char *decision_temperature_why(const struct decision *d)
{
    return decision_winner(d)->fit.why;
}

void decision_temperatures_to_json(struct json *to, const struct decision *d, const char *const *label_names, uint32_t labels)
{
    const struct tuned_trial *t = decision_winner(d);
    json_set_number(to, "temperature", t->fit.temperature > 0 ? t->fit.temperature : 1);
    if (t->fit.own == 0)
        return;
    struct json *each = json_set(to, "temperatures", json_object());
    for (uint32_t l = 0; l < labels; l++)
        json_set_number(each, label_names[l], t->temperatures[l]);
}
