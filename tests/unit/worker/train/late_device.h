/* SPDX-License-Identifier: Apache-2.0 */
/* A device as a GPU is one: its marks pass late, what is downloaded later is not there until then, and it may be asked for two
 * steps before the first is told. Another device does the work. One in a process. */
#pragma once

#include "common/base/memory.h"
#include "worker/device/host.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What goes wrong, and when: 0, never. */
struct late_plan {
    bool silent;       /* no mark passes any more */
    bool prompt;       /* all pass as soon as they are looked at */
    uint64_t fails_at; /* this mark: the device has failed */
    int left_out;      /* this update, without a reason */
    int bad_loss;      /* this batch's first loss is not a number; its gradient is well */
};

static struct late {
    struct late_plan plan;
    const struct device_operations *inner;
    struct device_operations run;
    struct {
        void *to, *bytes;
        size_t size;
        uint64_t mark; /* not before it has passed */
    } waiting[16];
    size_t count;
    uint64_t marks, passed, behind;        /* behind: most marks that were made while an older one had not passed */
    int polls, losses, updates, bad_since; /* updates asked for; the first that did nothing; 0: none */
    bool failed;
} late;

static void late_deliver(uint64_t mark)
{
    size_t left = 0;
    for (size_t i = 0; i < late.count; i++) {
        if (late.waiting[i].mark > mark) {
            late.waiting[left++] = late.waiting[i];
            continue;
        }
        memcpy(late.waiting[i].to, late.waiting[i].bytes, late.waiting[i].size);
        free(late.waiting[i].bytes);
    }
    late.count = left;
}

static void late_download_later(struct device *d, void *to, device_memory from, size_t bytes)
{
    if (late.count == sizeof late.waiting / sizeof *late.waiting)
        abort(); /* nobody waits for them */
    void *copy = allocate(bytes, 1);
    late.inner->download(d, copy, from, bytes);
    memset(to, 0xff, bytes);
    late.waiting[late.count].to = to;
    late.waiting[late.count].bytes = copy;
    late.waiting[late.count].size = bytes;
    late.waiting[late.count++].mark = late.marks + 1;
}

static uint64_t late_mark(struct device *d)
{
    (void)d;
    late.marks++;
    late.behind = late.marks - late.passed > late.behind ? late.marks - late.passed : late.behind;
    return late.marks;
}

static int late_passed(struct device *d, uint64_t mark, struct error *e)
{
    if (mark > late.passed) {
        if (late.plan.silent || (++late.polls % 64 && !late.plan.prompt && !late.failed))
            return 0;
        late.failed = late.plan.fails_at && mark >= late.plan.fails_at;
        if (late.failed)
            return error_set(e, ERROR_FAILED, "device late: it failed as planned");
        late_deliver(mark);
        late.passed = mark;
    }
    return late.inner->finish(d, e) ? -1 : 1;
}

static int late_finish(struct device *d, struct error *e)
{
    late_deliver(late.marks + 1);
    late.passed = late.marks;
    return late.inner->finish(d, e);
}

static void late_cross_entropy(struct device *d, device_memory loss, device_memory dlogits, device_memory logits,
                               device_memory classes, device_memory weights, const struct loss_shape *shape, size_t B, size_t L)
{
    late.inner->cross_entropy(d, loss, dlogits, logits, classes, weights, shape, B, L);
    if (++late.losses == late.plan.bad_loss)
        *host_f32(loss) = NAN;
}

static void late_clip(struct device *d, device_memory control, device_memory sum, device_memory bad, double divisor, double clip)
{
    late.inner->clip(d, control, sum, bad, divisor, clip);
    if (++late.updates == late.plan.left_out)
        host_control(control)->bad = 1;
    if (!late.bad_since && host_control(control)->bad)
        late.bad_since = late.updates;
}

static void late_destroy(struct device *d)
{
    printf("at most %llu marks behind; %d updates, bad since %d\n", (unsigned long long)late.behind, late.updates,
           late.bad_since);
    for (size_t i = 0; i < late.count; i++)
        free(late.waiting[i].bytes);
    late.inner->destroy(d);
}

/* d's memory is the host's, and open: not guarded. */
static void late_take(struct device *d, struct late_plan plan)
{
    late = (struct late){.plan = plan, .inner = d->run, .run = *d->run};
    late.run.download_later = late_download_later;
    late.run.mark = late_mark;
    late.run.passed = late_passed;
    late.run.finish = late_finish;
    late.run.cross_entropy = late_cross_entropy;
    late.run.clip = late_clip;
    late.run.destroy = late_destroy;
    d->run = &late.run;
    d->ahead = 2;
}
