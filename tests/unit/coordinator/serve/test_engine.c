/* SPDX-License-Identifier: Apache-2.0 */
/* The queue: every row scored once and for its own job, from many threads; small jobs while a large one waits; limits; failures;
 * the end. */
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "coordinator/serve/engine.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

enum { LABELS = 2, LONGEST = 16, MOST = 4096 };

/* What scores: a row's logits are its first id, and model * 1000 + length. */
struct fake {
    pthread_mutex_t lock;
    pthread_cond_t opened;
    bool closed;    /* batches wait */
    int32_t poison; /* a batch with this id fails */
    uint32_t batches, most_rows;
    size_t most_tokens;
    int32_t order[MOST]; /* first ids, as they were scored */
    uint32_t scored;
};

static int score(void *context, size_t model, const struct scoring_row *rows, uint32_t count, float *logits, struct error *e)
{
    struct fake *f = context;
    size_t tokens = 0;
    int result = 0;
    pthread_mutex_lock(&f->lock);
    while (f->closed)
        pthread_cond_wait(&f->opened, &f->lock);
    for (uint32_t i = 0; i < count; i++) {
        logits[i * LABELS] = (float)rows[i].ids[0];
        logits[i * LABELS + 1] = (float)(model * 1000 + rows[i].length);
        tokens += rows[i].length;
        if (f->scored < MOST)
            f->order[f->scored] = rows[i].ids[0];
        f->scored++;
        if (f->poison && rows[i].ids[0] == f->poison)
            result = -1;
    }
    f->batches++;
    f->most_rows = count > f->most_rows ? count : f->most_rows;
    f->most_tokens = tokens > f->most_tokens ? tokens : f->most_tokens;
    pthread_mutex_unlock(&f->lock);
    return result ? error_set(e, ERROR_FAILED, "poison") : 0;
}

static void fake_open(struct fake *f, bool closed)
{
    *f = (struct fake){.closed = closed};
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->opened, NULL);
}

static void fake_release(struct fake *f)
{
    pthread_mutex_lock(&f->lock);
    f->closed = false;
    pthread_cond_broadcast(&f->opened);
    pthread_mutex_unlock(&f->lock);
}

static struct engine *engine_of(struct fake *f, size_t tokens, size_t queue)
{
    struct engine *e;
    const struct engine_options o = {
        .batch_tokens = tokens, .batch_rows = 64, .queue_tokens = queue, .models = 2, .score = score, .context = f};
    engine_create(&e, &o);
    return e;
}

struct request {
    struct engine_job job;
    struct scoring_row rows[300];
    int32_t ids[300 * LONGEST];
    float logits[300 * LABELS];
    atomic_bool done;
};

static void on_done(void *context, struct engine_job *job)
{
    struct request *r = context;
    (void)job;
    r->done = true;
}

static void fill(struct request *r, size_t model, uint32_t count, int32_t first)
{
    *r = (struct request){.job = {.model = model, .count = count, .labels = LABELS, .done = on_done}};
    for (uint32_t i = 0; i < count; i++) {
        r->rows[i] = (struct scoring_row){r->ids + i * LONGEST, 1 + (uint32_t)(first + (int32_t)i) % LONGEST, 1};
        r->ids[i * LONGEST] = first + (int32_t)i;
    }
    r->job.rows = r->rows;
    r->job.logits = r->logits;
    r->job.context = r;
}

static void wait_for(const struct request *r)
{
    double until = clock_seconds() + 60;
    while (!r->done && clock_seconds() < until)
        clock_sleep(0.0005);
    assert_true(r->done);
}

static void check(const struct request *r)
{
    assert_false(r->job.failed);
    for (uint32_t i = 0; i < r->job.count; i++) {
        assert_true(r->logits[i * LABELS] == (float)r->ids[i * LONGEST]);
        assert_true(r->logits[i * LABELS + 1] == (float)(r->job.model * 1000 + r->rows[i].length));
    }
    assert_true(r->job.queued <= r->job.started && r->job.started <= r->job.ended);
}

/* ---- from many threads ---- */

struct client {
    pthread_t thread;
    struct engine *engine;
    int number;
    bool right;
};

static void *work(void *context)
{
    struct client *c = context;
    struct request *r = allocate(1, sizeof *r);
    c->right = true;
    for (int turn = 0; turn < 40; turn++) {
        struct error e;
        double after;
        fill(r, (size_t)(turn + c->number) % 2, (uint32_t)(turn * 7 % 50), c->number * 100000 + turn * 100);
        if (engine_submit(c->engine, &r->job, &after, &e) != 0)
            c->right = false;
        wait_for(r);
        for (uint32_t i = 0; i < r->job.count; i++)
            c->right = c->right && r->logits[i * LABELS] == (float)r->ids[i * LONGEST] &&
                       r->logits[i * LABELS + 1] == (float)(r->job.model * 1000 + r->rows[i].length);
        engine_load(c->engine);
    }
    free(r);
    return NULL;
}

static void threads_get_their_own(void **state)
{
    struct fake f;
    struct client clients[8];
    (void)state;
    fake_open(&f, false);
    struct engine *e = engine_of(&f, 200, 1 << 20);
    for (int i = 0; i < 8; i++) {
        clients[i] = (struct client){.engine = e, .number = i + 1};
        pthread_create(&clients[i].thread, NULL, work, &clients[i]);
    }
    uint32_t rows = 0;
    for (int turn = 0; turn < 40; turn++)
        rows += (uint32_t)(turn * 7 % 50);
    for (int i = 0; i < 8; i++) {
        pthread_join(clients[i].thread, NULL);
        assert_true(clients[i].right);
    }
    assert_int_equal(f.scored, 8 * rows);
    assert_true(f.most_tokens <= 200 && f.most_rows <= 64);
    assert_int_equal(engine_load(e).jobs, 0);
    engine_destroy(&e);
}

static void small_beside_large(void **state)
{
    static struct request gate, large, small;
    struct fake f;
    struct error e;
    double after;
    (void)state;
    fake_open(&f, true);
    struct engine *engine = engine_of(&f, 40, 1 << 20);
    fill(&gate, 0, 1, 1);
    fill(&large, 0, 300, 1000);
    fill(&small, 0, 2, 5000);
    assert_int_equal(engine_submit(engine, &gate.job, &after, &e), 0);
    assert_int_equal(engine_submit(engine, &large.job, &after, &e), 0);
    assert_int_equal(engine_submit(engine, &small.job, &after, &e), 0);
    fake_release(&f);
    wait_for(&small);
    wait_for(&large);
    check(&small);
    check(&large);
    uint32_t last = 0;
    for (uint32_t i = 0; i < f.scored; i++)
        last = f.order[i] >= 5000 ? i : last;
    assert_true(last <= 20); /* of 303 */
    engine_destroy(&engine);
}

static void models_take_turns(void **state)
{
    static struct request gate, first, second;
    struct fake f;
    struct error e;
    double after;
    (void)state;
    fake_open(&f, true);
    struct engine *engine = engine_of(&f, 100, 1 << 20);
    fill(&gate, 0, 1, 1);
    fill(&first, 0, 300, 1000);
    fill(&second, 1, 3, 5000);
    engine_submit(engine, &gate.job, &after, &e);
    engine_submit(engine, &first.job, &after, &e);
    engine_submit(engine, &second.job, &after, &e);
    fake_release(&f);
    wait_for(&second);
    wait_for(&first);
    check(&second);
    check(&first);
    uint32_t last = 0;
    for (uint32_t i = 0; i < f.scored; i++)
        last = f.order[i] >= 5000 ? i : last;
    assert_true(last < 100);
    engine_destroy(&engine);
}

static void too_much_is_refused(void **state)
{
    static struct request gate, waits, refused;
    struct fake f;
    struct error e;
    double after = 0;
    (void)state;
    fake_open(&f, true);
    struct engine *engine = engine_of(&f, 100, 50);
    fill(&gate, 0, 300, 1); /* more than the queue holds, but nothing is before it */
    fill(&waits, 0, 10, 1000);
    fill(&refused, 0, 10, 2000);
    assert_int_equal(engine_submit(engine, &gate.job, &after, &e), 0);
    assert_int_equal(engine_submit(engine, &refused.job, &after, &e), -1);
    assert_int_equal(e.kind, ERROR_DATA);
    assert_true(after > 0);
    assert_false(refused.done);
    fake_release(&f);
    wait_for(&gate);
    check(&gate);
    assert_int_equal(engine_submit(engine, &waits.job, &after, &e), 0);
    wait_for(&waits);
    check(&waits);
    engine_destroy(&engine);
}

static void failure_is_of_its_batch(void **state)
{
    static struct request gate, bad, good;
    struct fake f;
    struct error e;
    double after;
    (void)state;
    fake_open(&f, true);
    f.poison = 1000;
    struct engine *engine = engine_of(&f, 16, 1 << 20);
    fill(&gate, 0, 1, 15); /* 16 tokens: a batch of its own */
    fill(&bad, 0, 300, 1000);
    fill(&good, 1, 20, 3000);
    engine_submit(engine, &gate.job, &after, &e);
    engine_submit(engine, &bad.job, &after, &e);
    engine_submit(engine, &good.job, &after, &e);
    fake_release(&f);
    wait_for(&bad);
    wait_for(&good);
    assert_true(bad.job.failed);
    assert_string_equal(bad.job.why.message, "poison");
    check(&good);
    assert_true(f.scored < 60); /* the rest of the bad one was not scored */
    struct engine_load load = engine_load(engine);
    assert_int_equal(load.rows + load.tokens + load.jobs, 0);
    engine_destroy(&engine);
}

static void end_fails_what_waits(void **state)
{
    static struct request gate, waits;
    struct fake f;
    struct error e;
    double after;
    (void)state;
    fake_open(&f, false);
    struct engine *engine = engine_of(&f, 16, 1 << 20);
    fill(&gate, 0, 300, 1);
    fill(&waits, 1, 300, 1000);
    engine_submit(engine, &gate.job, &after, &e);
    engine_submit(engine, &waits.job, &after, &e);
    engine_destroy(&engine);
    assert_true(gate.done && waits.done);
    for (struct request *r = &gate; r; r = r == &gate ? &waits : NULL) {
        if (r->job.failed)
            assert_int_equal(r->job.why.kind, ERROR_STOPPED);
        else
            check(r);
    }
}

static void room_is_reserved(void **state)
{
    static struct request first, second, third;
    struct fake f;
    struct error e;
    double after = 0;
    (void)state;
    fake_open(&f, false);
    struct engine *engine = engine_of(&f, 100, 50);
    fill(&first, 0, 10, 1);
    fill(&second, 0, 10, 1000);
    fill(&third, 0, 10, 2000);
    assert_int_equal(engine_reserve(engine, &first.job, 40, &after, &e), 0);
    assert_int_equal(engine_load(engine).tokens, 40);
    assert_int_equal(engine_check_room(engine, &after, &e), 0);
    assert_int_equal(engine_reserve(engine, &second.job, 11, &after, &e), -1);
    assert_int_equal(e.kind, ERROR_DATA);
    assert_int_equal(engine_reserve(engine, &second.job, 10, &after, &e), 0);
    assert_int_equal(engine_check_room(engine, &after, &e), -1);
    assert_int_equal(engine_submit(engine, &third.job, &after, &e), -1);
    engine_release(engine, &second.job);
    assert_int_equal(engine_load(engine).tokens, 40);
    assert_int_equal(engine_submit(engine, &first.job, &after, &e), 0); /* its own tokens are in the place of what it reserved */
    wait_for(&first);
    check(&first);
    assert_int_equal(engine_load(engine).tokens, 0);
    assert_int_equal(engine_reserve(engine, &second.job, 10, &after, &e), 0);
    engine_stop(engine);
    assert_int_equal(engine_submit(engine, &second.job, &after, &e), -1);
    assert_int_equal(e.kind, ERROR_STOPPED);
    assert_int_equal(engine_reserve(engine, &third.job, 1, &after, &e), -1);
    assert_int_equal(e.kind, ERROR_STOPPED);
    assert_int_equal(engine_load(engine).tokens, 0);
    engine_destroy(&engine);
}

/* ---- nobody waits any more ---- */

static atomic_int leaving; /* first id of the request whose client goes; 0: none */

static bool has_left(void *context, const struct engine_job *job)
{
    const struct request *r = job->context;
    (void)context;
    return leaving && r->ids[0] == leaving;
}

static void rows_of_who_has_left(void **state)
{
    static struct request gate, leaves, stays;
    struct fake f;
    struct error e;
    double after;
    struct engine *engine;
    (void)state;
    fake_open(&f, true);
    const struct engine_options o = {.batch_tokens = 100,
                                     .batch_rows = 64,
                                     .queue_tokens = 1 << 20,
                                     .models = 2,
                                     .score = score,
                                     .left = has_left,
                                     .context = &f};
    engine_create(&engine, &o);
    leaving = 0;
    fill(&gate, 1, 1, 1);
    fill(&leaves, 0, 300, 1000);
    fill(&stays, 0, 30, 2000);
    engine_submit(engine, &gate.job, &after, &e);
    engine_submit(engine, &leaves.job, &after, &e);
    engine_submit(engine, &stays.job, &after, &e);
    leaving = 1000;
    fake_release(&f);
    wait_for(&stays);
    wait_for(&leaves);
    check(&gate);
    check(&stays);
    assert_true(leaves.job.failed);
    assert_true(f.scored < 1 + 30 + 20); /* at most the rows of a batch that was packed before */
    struct engine_load load = engine_load(engine);
    assert_int_equal(load.rows + load.tokens + load.jobs, 0);
    leaving = 4000; /* alone in the queue: a batch of nothing is none */
    fill(&leaves, 0, 3, 4000);
    engine_submit(engine, &leaves.job, &after, &e);
    wait_for(&leaves);
    assert_true(leaves.job.failed);
    engine_destroy(&engine);
}

/* ---- asked while it stops ---- */

static void *scrape(void *context)
{
    struct client *c = context;
    struct request *r = allocate(1, sizeof *r);
    struct error e;
    double after;
    for (c->right = true; c->right;) {
        engine_load(c->engine);
        fill(r, 0, 3, c->number * 1000);
        if (engine_submit(c->engine, &r->job, &after, &e) != 0)
            break;
        wait_for(r);
    }
    for (int i = 0; i < 1000; i++)
        c->right = c->right && engine_load(c->engine).jobs <= 4;
    free(r);
    return NULL;
}

static void asked_while_it_stops(void **state)
{
    struct fake f;
    struct client clients[4];
    (void)state;
    fake_open(&f, false);
    struct engine *e = engine_of(&f, 100, 1 << 20);
    for (int i = 0; i < 4; i++) {
        clients[i] = (struct client){.engine = e, .number = i + 1};
        pthread_create(&clients[i].thread, NULL, scrape, &clients[i]);
    }
    clock_sleep(0.05);
    engine_stop(e);
    for (int i = 0; i < 4; i++) {
        pthread_join(clients[i].thread, NULL);
        assert_true(clients[i].right);
    }
    assert_int_equal(engine_load(e).jobs, 0);
    engine_destroy(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_get_their_own),   cmocka_unit_test(small_beside_large),
        cmocka_unit_test(models_take_turns),       cmocka_unit_test(too_much_is_refused),
        cmocka_unit_test(failure_is_of_its_batch), cmocka_unit_test(end_fails_what_waits),
        cmocka_unit_test(room_is_reserved),        cmocka_unit_test(rows_of_who_has_left),
        cmocka_unit_test(asked_while_it_stops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
