/* SPDX-License-Identifier: Apache-2.0 */
/* Dispatch, end to end, with workers that follow a script: this program, started again by the launcher, is the worker. What a
 * trial's key says is what happens to it ("die", "silent", ...). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/stop.h"
#include "common/base/version.h"
#include "coordinator/dispatch/dispatch.h"
#include "proto/dialer.h"
#include "proto/listener.h"
#include "proto/message.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the scripted worker ---- */

struct actor {
    struct dialer *dialer;
    uint64_t lease;
    bool stopped;
    int exit_code; /* -1 until GOODBYE */
};

static void say(struct actor *a, const struct message *m)
{
    struct error e;
    char *text;
    if (message_encode(&text, m, &e))
        exit(9);
    while (!dialer_send(a->dialer, text))
        dialer_wait(a->dialer, -1, 0.05);
    free(text);
}

static void say_beat(struct actor *a, uint64_t step)
{
    struct message m = {
        .kind = MESSAGE_BEAT,
        .beat = {
            .lease = a->lease, .step = step, .steps = 100, .epoch = 1, .epochs = 2, .loss = 0.5, .operation = (char *)"forward"}};
    if (!a->lease)
        m.beat.operation = NULL;
    say(a, &m);
}

/* The next message, beating while it waits; false: GOODBYE came instead. */
static bool hear(struct actor *a, struct message *m)
{
    const char *bytes;
    size_t size;
    struct error e;
    double beat = 0;
    for (;;) {
        while (dialer_receive(a->dialer, &bytes, &size)) {
            if (message_decode(m, bytes, size, SIDE_COORDINATOR, &e)) {
                fprintf(stderr, "actor: %s\n", e.message);
                exit(8);
            }
            if (m->kind == MESSAGE_GOODBYE) {
                a->exit_code = m->goodbye.exit_code;
                return false;
            }
            if (m->kind != MESSAGE_STOP)
                return true;
            a->stopped = true;
            return true;
        }
        if (clock_seconds() > beat) {
            say_beat(a, 5);
            beat = clock_seconds() + 0.1;
        }
        dialer_wait(a->dialer, -1, 0.05);
    }
}

static void say_result(struct actor *a, uint32_t epochs, uint64_t steps)
{
    struct message m = {.kind = MESSAGE_RESULT,
                        .result = {.lease = a->lease,
                                   .epochs_done = epochs,
                                   .best_epoch = 1,
                                   .steps = steps,
                                   .seconds = 1,
                                   .best_weights = (char *)"/w"}};
    say(a, &m);
}

static void say_failed(struct actor *a, int kind, const char *words, bool healthy)
{
    struct message m = {.kind = MESSAGE_FAILED, .failed = {a->lease, kind, (char *)(uintptr_t)words, healthy}};
    say(a, &m);
}

static void train_well(struct actor *a, const struct message_lease *l)
{
    uint32_t epoch = 0;
    bool stop = false;
    while (!stop && epoch < l->trial.epochs) {
        epoch++;
        struct message m = {
            .kind = MESSAGE_EPOCH,
            .epoch = {.lease = a->lease, .epoch = epoch, .train_loss = 1.0 / epoch, .logits = (char *)"/logits.h5"}};
        say(a, &m);
        do {
            if (!hear(a, &m))
                return;
            stop = m.kind == MESSAGE_EPOCH_DECISION && m.epoch_decision.stop;
            if (m.kind == MESSAGE_EPOCH_DECISION && json_number(json_get(m.epoch_decision.metrics, "epoch")) != epoch)
                exit(7);
            message_free(&m);
        } while (m.kind != MESSAGE_EPOCH_DECISION);
    }
    say_result(a, epoch, l->attempt);
}

/* ---- scripts, by the first word of the trial's key ---- */

static void play_ok(struct actor *a, const struct message_lease *l)
{
    train_well(a, l);
}

static void play_fail(struct actor *a, const struct message_lease *l)
{
    (void)l;
    say_failed(a, ERROR_DATA, "row 7 is bad", true);
}

static void flush_beats(struct actor *a)
{
    say_beat(a, 31);
    clock_sleep(0.3);
}

static void play_die(struct actor *a, const struct message_lease *l)
{
    if (l->attempt == 1 || !strncmp(l->trial.key, "die-always", 10)) {
        flush_beats(a);
        raise(SIGKILL);
    }
    if (!l->trial.resume)
        exit(6);
    train_well(a, l);
}

static void play_silent(struct actor *a, const struct message_lease *l)
{
    if (l->attempt == 1) {
        flush_beats(a);
        raise(SIGSTOP);
    }
    train_well(a, l);
}

static void play_broken(struct actor *a, const struct message_lease *l)
{
    if (l->attempt > 1) {
        train_well(a, l);
        return;
    }
    say_failed(a, ERROR_FAILED, "all_reduce: rank 1 on host far does not answer", false);
    clock_sleep(0.2);
    _exit(1);
}

static void play_stale(struct actor *a, const struct message_lease *l)
{
    uint64_t right = a->lease;
    a->lease = right + 7;
    say_result(a, 9, 999);
    say_failed(a, ERROR_DATA, "not this one", true);
    a->lease = right;
    train_well(a, l);
}

static void play_garbage(struct actor *a, const struct message_lease *l)
{
    static const char *const rubbish[] = {"", "{{{", "{\"message\":\"dance\"}", "{\"message\":\"beat\"}", "\xff\xfe", "[1,2,3]"};
    for (size_t i = 0; i < sizeof rubbish / sizeof *rubbish; i++)
        dialer_send(a->dialer, rubbish[i]);
    struct message m;
    for (size_t refused = 0; refused < sizeof rubbish / sizeof *rubbish;) {
        if (!hear(a, &m))
            return;
        refused += m.kind == MESSAGE_REFUSED;
        message_free(&m);
    }
    train_well(a, l);
}

static const char *connection_path, *group_name;

/* A rank that the run does not have beats on, 50 times a second: it is refused, but not 50 times a second. */
static void play_rank(struct actor *a, const struct message_lease *l)
{
    struct connection c;
    struct error e;
    struct actor rank = {0};
    char peer[PEER_NAME];
    const char *bytes;
    size_t size, refused = 0;
    peer_write(peer, group_name, 1);
    if (connection_read(&c, connection_path, &e) || dialer_create(&rank.dialer, &c, peer, &e))
        exit(4);
    for (double end = clock_seconds() + 3; clock_seconds() < end;) {
        say_beat(&rank, 1);
        dialer_wait(rank.dialer, -1, 0);
        while (dialer_receive(rank.dialer, &bytes, &size))
            refused++;
        clock_sleep(0.02);
        if (!(refused % 10))
            say_beat(a, 1);
    }
    dialer_destroy(&rank.dialer);
    connection_free(&c);
    fprintf(stderr, "actor: %zu refusals\n", refused);
    if (refused < 1 || refused > 3)
        exit(5);
    train_well(a, l);
}

static void play_slow(struct actor *a, const struct message_lease *l)
{
    (void)l;
    struct message m;
    kill(getppid(), SIGRTMIN); /* at work; signals of this kind are counted, two that come together too */
    while (!a->stopped) {
        if (!hear(a, &m))
            return;
        message_free(&m);
    }
    m = (struct message){.kind = MESSAGE_STOPPED, .stopped = {a->lease, false}};
    say(a, &m);
}

static const struct {
    const char *word;
    void (*play)(struct actor *a, const struct message_lease *l);
} scripts[] = {
    {"ok", play_ok},       {"fail", play_fail},       {"die", play_die},   {"silent", play_silent}, {"broken", play_broken},
    {"stale", play_stale}, {"garbage", play_garbage}, {"slow", play_slow}, {"rank", play_rank},
};

static void play(struct actor *a, const struct message_lease *l)
{
    a->lease = l->lease;
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++)
        if (!strncmp(l->trial.key, scripts[i].word, strlen(scripts[i].word)))
            scripts[i].play(a, l);
    a->lease = 0;
}

static int act(const char *connection, const char *group)
{
    struct connection c;
    struct error e;
    struct actor a = {.exit_code = -1};
    connection_path = connection;
    group_name = group;
    if (connection_read(&c, connection, &e) || dialer_create(&a.dialer, &c, group, &e)) {
        fprintf(stderr, "actor: %s\n", e.message);
        return 1;
    }
    const char *version = getenv("ACTOR_VERSION"), *protocol = getenv("ACTOR_PROTOCOL");
    struct message m = {.kind = MESSAGE_HELLO,
                        .hello = {.protocol = protocol ? (uint32_t)atoi(protocol) : PROTOCOL_VERSION,
                                  .version = (char *)(uintptr_t)(version ? version : MUSTER_VERSION),
                                  .host = (char *)"stage",
                                  .device = (char *)"script",
                                  .pid = getpid(),
                                  .ranks = 1,
                                  .threads = 1,
                                  .group = (char *)(uintptr_t)group,
                                  .places = getenv("ACTOR_PLACES")}};
    say(&a, &m);
    while (hear(&a, &m)) {
        if (m.kind == MESSAGE_REFUSED && protocol) {
            fprintf(stderr, "actor was refused: %s\n", m.refused.reason);
            _exit(strstr(m.refused.reason, "0.0.9 uses protocol 9") && strstr(m.refused.reason, "uses protocol 1") ? 41 : 1);
        }
        if (m.kind == MESSAGE_LEASE)
            play(&a, &m.lease);
        if (m.kind == MESSAGE_STOP && a.stopped) {
            struct message stopped = {.kind = MESSAGE_STOPPED};
            say(&a, &stopped);
        }
        message_free(&m);
        if (a.exit_code >= 0)
            break;
    }
    dialer_destroy(&a.dialer);
    connection_free(&c);
    return a.exit_code;
}

/* ---- the stage ---- */

#define DIRECTORY "dispatch.test"
#define TRIALS_MOST 8

struct stage {
    struct event_log *log;
    struct dispatch *dispatch;
    struct trial trials[TRIALS_MOST];
    int done[TRIALS_MOST], failed[TRIALS_MOST], epochs[TRIALS_MOST];
    uint64_t steps[TRIALS_MOST];
    struct error why[TRIALS_MOST];
    uint32_t stop_after;
};

static char self[4096];

static int on_epoch(void *context, size_t i, uint32_t epoch, double train_loss, struct dispatch_decision *ret, struct error *e)
{
    (void)e;
    struct stage *s = context;
    assert_true(train_loss == 1.0 / epoch);
    s->epochs[i]++;
    *ret = (struct dispatch_decision){
        .best = epoch == 1, .stop = s->stop_after && epoch >= s->stop_after, .metrics = json_object(), .decision = json_object()};
    json_set_number(ret->metrics, "epoch", epoch);
    json_set_number(ret->decision, "of", epoch);
    return 0;
}

static int on_ended(void *context, size_t i, const struct dispatch_result *result, const struct error *why, struct error *e)
{
    (void)e;
    struct stage *s = context;
    if (result) {
        s->done[i]++;
        s->steps[i] = result->steps;
        assert_string_equal(result->best_weights, "/w");
    } else {
        s->failed[i]++;
        s->why[i] = *why;
    }
    return 0;
}

static void raise_curtain(struct stage *s, int groups, double timeout, int restarts)
{
    struct error e = {0};
    *s = (struct stage){0};
    assert_int_equal(directory_remove(DIRECTORY, &e), 0);
    assert_int_equal(directory_create(DIRECTORY, &e), 0);
    assert_int_equal(event_log_open(&s->log, DIRECTORY, &e), 0);
    char *directory = realpath(DIRECTORY, NULL);
    struct dispatch_options o = {.directory = directory,
                                 .worker = self,
                                 .launcher = LAUNCHER_LOCAL,
                                 .device = DEVICE_CPU,
                                 .groups = groups,
                                 .ranks_per_group = 1,
                                 .threads = 1,
                                 .heartbeat_timeout = timeout,
                                 .restarts = restarts};
    if (dispatch_create(&s->dispatch, &o, s->log, &e))
        fail_msg("%s", e.message);
    free(directory);
}

static void drop_curtain(struct stage *s)
{
    dispatch_destroy(&s->dispatch, 0);
    assert_null(s->dispatch);
    assert_false(file_exists(DIRECTORY "/connection.json"));
    event_log_close(&s->log);
    struct error e;
    directory_remove(DIRECTORY, &e);
}

static int perform(struct stage *s, const char *const *keys, struct error *e)
{
    size_t count = 0;
    for (; keys[count]; count++)
        s->trials[count] = (struct trial){.key = (char *)(uintptr_t)keys[count],
                                          .directory = (char *)"/f",
                                          .dataset = (char *)"/d",
                                          .model = (char *)"/m",
                                          .labels = 2,
                                          .epochs = 2,
                                          .precision = "f32"};
    struct dispatch_observer o = {s, on_epoch, on_ended};
    return dispatch_run(s->dispatch, s->trials, count, &o, e);
}

static void must_perform(struct stage *s, const char *const *keys)
{
    struct error e = {0};
    if (perform(s, keys, &e))
        fail_msg("dispatch_run: %s", e.message);
}

static int count_events(const struct stage *s, const char *event, const char *trial)
{
    int count = 0;
    for (size_t i = 0; i < event_log_count(s->log); i++) {
        const struct json *j = event_log_at(s->log, i);
        const char *of = json_string(json_get(j, "trial"));
        count += !strcmp(json_string(json_get(j, "event")), event) && (!trial || (of && !strcmp(of, trial)));
    }
    return count;
}

static void expect_events(const struct stage *s, const char *event, const char *trial, int expected)
{
    int found = count_events(s, event, trial);
    if (found != expected)
        fail_msg("events %s of %s: expected %d, found %d", event, trial ? trial : "all", expected, found);
}

/* ---- tests ---- */

static void test_leases(void **state)
{
    (void)state;
    struct stage s;
    raise_curtain(&s, 2, 5, 3);
    struct stat facts;
    assert_int_equal(stat(DIRECTORY "/connection.json", &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0600);
    must_perform(&s, (const char *[]){"ok-a", "fail-b", "ok-c", "stale-d", NULL});
    assert_true(s.done[0] == 1 && s.done[2] == 1 && s.done[3] == 1 && s.failed[1] == 1 && !s.done[1]);
    assert_true(s.epochs[0] == 2 && s.epochs[2] == 2 && s.epochs[1] == 0);
    assert_int_equal(s.steps[3], 1); /* not the 999 of the older lease */
    assert_int_equal(s.why[1].kind, ERROR_DATA);
    assert_string_equal(s.why[1].message, "row 7 is bad");
    int groups = count_events(&s, "group_started", NULL); /* the second may come up when all is done */
    assert_true(groups == 1 || groups == 2);
    expect_events(&s, "lease", NULL, 4);
    expect_events(&s, "epoch", "ok-a", 2);
    expect_events(&s, "trial_done", NULL, 3);
    expect_events(&s, "trial_failed", "fail-b", 1);
    expect_events(&s, "group_died", NULL, 0);
    const struct json *epoch = event_log_last(s.log, "epoch", "trial", "ok-c");
    assert_true(json_number(json_get(epoch, "epoch")) == 2 && json_number(json_get(epoch, "train_loss")) == 0.5);
    assert_false(json_boolean(json_get(epoch, "best")));
    assert_true(json_number(json_get(json_get(epoch, "metrics"), "epoch")) == 2);
    assert_true(json_number(json_get(json_get(epoch, "decision"), "of")) == 2);

    s.stop_after = 1; /* the same groups go on with a second run */
    must_perform(&s, (const char *[]){"ok-e", NULL});
    assert_int_equal(s.epochs[0], 3);
    expect_events(&s, "epoch", "ok-e", 1);
    assert_true(count_events(&s, "group_started", NULL) <= 2);
    drop_curtain(&s);
}

static void test_order_of_log(void **state)
{
    (void)state;
    struct stage s;
    raise_curtain(&s, 1, 5, 3);
    must_perform(&s, (const char *[]){"ok-a", "ok-b", NULL});
    static const char *const expected[] = {"group_started", "lease", "epoch", "epoch",     "trial_done",
                                           "lease",         "epoch", "epoch", "trial_done"};
    assert_int_equal(event_log_count(s.log), sizeof expected / sizeof *expected);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        assert_string_equal(json_string(json_get(event_log_at(s.log, i), "event")), expected[i]);
    drop_curtain(&s);
}

static void test_death(void **state)
{
    (void)state;
    struct stage s;
    raise_curtain(&s, 1, 5, 2);
    must_perform(&s, (const char *[]){"die-once", "ok-after", NULL});
    assert_true(s.done[0] == 1 && s.done[1] == 1);
    assert_int_equal(s.steps[0], 2); /* done at the second attempt */
    expect_events(&s, "group_died", "die-once", 1);
    expect_events(&s, "lease", "die-once", 2);
    expect_events(&s, "group_started", NULL, 2);
    const struct json *death = event_log_last(s.log, "group_died", NULL, NULL);
    assert_string_equal(json_string(json_get(death, "host")), "stage");
    assert_true(json_number(json_get(death, "rank")) == 0 && json_number(json_get(death, "step")) == 31);
    assert_string_equal(json_string(json_get(death, "operation")), "forward");
    assert_non_null(strstr(json_string(json_get(death, "why")), "signal 9"));
    drop_curtain(&s);
}

static void test_death_without_end(void **state)
{
    (void)state;
    struct stage s;
    raise_curtain(&s, 1, 5, 1);
    must_perform(&s, (const char *[]){"die-always", "ok-after", NULL});
    assert_true(s.failed[0] == 1 && s.done[1] == 1);
    expect_events(&s, "group_died", NULL, 2);
    assert_non_null(strstr(s.why[0].message, "given up after its worker group died 2 times"));
    assert_non_null(strstr(s.why[0].message, "host stage, rank 0, step 31, forward"));
    drop_curtain(&s);

    raise_curtain(&s, 1, 5, 0);
    struct error e = {0};
    assert_int_equal(perform(&s, (const char *[]){"fail-a", "die-always", NULL}, &e), -1); /* all failed: the first one's words */
    assert_int_equal(e.kind, ERROR_DATA);
    assert_string_equal(e.message, "row 7 is bad");
    drop_curtain(&s);
}

static void test_broken_group(void **state)
{
    (void)state;
    struct stage s;
    raise_curtain(&s, 1, 5, 1);
    must_perform(&s, (const char *[]){"broken", NULL});
    assert_int_equal(s.done[0], 1);
    const struct json *death = event_log_last(s.log, "group_died", NULL, NULL);
    assert_non_null(strstr(json_string(json_get(death, "why")), "rank 1 on host far"));
    drop_curtain(&s);
}

static void test_silence(void **state)
{
    (void)state;
    struct stage s;
    raise_curtain(&s, 1, 1, 1);
    double start = clock_seconds();
    must_perform(&s, (const char *[]){"silent", NULL});
    double seconds = clock_seconds() - start;
    assert_int_equal(s.done[0], 1);
    if (seconds < 1 || seconds > 20)
        fail_msg("silence of 1 s should be noticed after 1 s, not after %g s", seconds);
    const struct json *death = event_log_last(s.log, "group_died", NULL, NULL);
    assert_non_null(strstr(json_string(json_get(death, "why")), "no heartbeat for"));
    drop_curtain(&s);
}

static void test_garbage(void **state)
{
    (void)state;
    struct stage s;
    raise_curtain(&s, 1, 5, 0);
    must_perform(&s, (const char *[]){"garbage", NULL});
    assert_int_equal(s.done[0], 1);
    drop_curtain(&s);
}

static void test_refusals(void **state)
{
    (void)state;
    struct stage s;
    raise_curtain(&s, 1, 5, 0);
    must_perform(&s, (const char *[]){"rank", NULL});
    assert_int_equal(s.done[0], 1);
    drop_curtain(&s);
}

static void test_version(void **state)
{
    (void)state;
    struct stage s;
    raise_curtain(&s, 1, 5, 1);
    setenv("ACTOR_VERSION", "0.0.9", 1);
    setenv("ACTOR_PROTOCOL", "9", 1);
    struct error e = {0};
    int result = perform(&s, (const char *[]){"ok", NULL}, &e);
    unsetenv("ACTOR_PROTOCOL");
    assert_int_equal(result, -1);
    if (!strstr(e.message, "no worker group could be started in 2 attempts") || !strstr(e.message, "exit code 41"))
        fail_msg("expected: 2 attempts, exit code 41 (the worker was told both protocols); found: %s", e.message);
    assert_int_equal(s.done[0] + s.failed[0], 0);
    drop_curtain(&s);
    raise_curtain(&s, 1, 5, 0); /* another version of the same protocol */
    must_perform(&s, (const char *[]){"ok", NULL});
    unsetenv("ACTOR_VERSION");
    assert_int_equal(s.done[0], 1);
    drop_curtain(&s);
}

/* The arrangement is the user's: usage, not a failure of the group. */
static void test_gpus(void **state)
{
    (void)state;
    struct stage s;
    raise_curtain(&s, 1, 5, 1);
    setenv("ACTOR_PLACES", "rank 0: n1, cores 0, GPU-aa\nrank 1: n1, cores 1, GPU-ab\nrank 2: n1, cores 2, GPU-aa", 1);
    struct error e = {0};
    int result = perform(&s, (const char *[]){"ok", NULL}, &e);
    assert_int_equal(result, -1);
    assert_int_equal(e.kind, ERROR_USAGE);
    if (!strstr(e.message,
                "rank 2: n1, cores 2, GPU-aa: rank 0 has this GPU; each rank needs one of its own: lower cluster.ranks"))
        fail_msg("expected: rank 2 has the GPU of rank 0; found: %s", e.message);
    drop_curtain(&s);
    raise_curtain(&s, 1, 5, 0);
    setenv("ACTOR_PLACES", "rank 0: n1, cores 0, GPU-aa\nrank 1: n1, cores 1, GPU-ab", 1);
    must_perform(&s, (const char *[]){"ok", NULL});
    unsetenv("ACTOR_PLACES");
    assert_int_equal(s.done[0], 1);
    drop_curtain(&s);
}

static void test_no_worker(void **state)
{
    (void)state;
    struct stage s;
    struct error e = {0};
    char kept[sizeof self];
    memcpy(kept, self, sizeof self);
    snprintf(self, sizeof self, "/nowhere/muster-worker");
    raise_curtain(&s, 1, 5, 1);
    memcpy(self, kept, sizeof self);
    assert_int_equal(perform(&s, (const char *[]){"ok", NULL}, &e), -1);
    assert_non_null(strstr(e.message, "/nowhere/muster-worker: cannot be started: No such file"));
    drop_curtain(&s);
}

/* ---- connections with other keys ---- */

static enum line_state dial_with(const struct connection *c, double seconds)
{
    struct dialer *d;
    struct error e = {0};
    if (dialer_create(&d, c, "other", &e))
        fail_msg("%s", e.message);
    for (double end = clock_seconds() + seconds; dialer_line(d, NULL) == LINE_DOWN && clock_seconds() < end;)
        dialer_wait(d, -1, 0.1);
    enum line_state line = dialer_line(d, NULL);
    dialer_destroy(&d);
    return line;
}

static void test_keys(void **state)
{
    (void)state;
    struct listener *right, *other;
    struct connection mine, theirs;
    struct error e = {0};
    assert_int_equal(listener_create(&right, "127.0.0.1", &e), 0);
    assert_int_equal(listener_create(&other, "127.0.0.1", &e), 0);
    listener_connection(right, &mine);
    listener_connection(other, &theirs);
    assert_int_equal(strncmp(mine.endpoint, "tcp://127.0.0.1:", 16), 0);
    assert_int_equal(dial_with(&mine, 5), LINE_UP);
    struct connection wrong = mine;
    wrong.public_key = theirs.public_key;
    wrong.secret_key = theirs.secret_key;
    assert_int_equal(dial_with(&wrong, 5), LINE_REFUSED);
    wrong = mine;
    wrong.server_key = theirs.server_key;
    assert_int_not_equal(dial_with(&wrong, 1), LINE_UP);
    wrong = mine;
    wrong.secret_key = theirs.secret_key; /* knows a public key, not its secret */
    assert_int_not_equal(dial_with(&wrong, 1), LINE_UP);
    assert_int_equal(dial_with(&mine, 5), LINE_UP);
    listener_destroy(&right);
    listener_destroy(&other);
}

static void pour_garbage(const char *endpoint)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(strrchr(endpoint, ':') + 1))};
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    for (int round = 0; round < 20; round++) {
        unsigned char bytes[5000];
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (unsigned char)rand();
        if (round % 2) /* the greeting of an unencrypted peer, then noise */
            memcpy(bytes, "\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01NULL\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 33);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
        for (int i = 0; i < 20; i++)
            if (send(fd, bytes, sizeof bytes, MSG_NOSIGNAL) < 0)
                break;
        close(fd);
    }
}

static void test_garbage_at_the_door(void **state)
{
    (void)state;
    struct stage s;
    struct connection c;
    struct error e = {0};
    raise_curtain(&s, 1, 5, 0);
    assert_int_equal(connection_read(&c, DIRECTORY "/connection.json", &e), 0);
    srand(7);
    pour_garbage(c.endpoint);
    must_perform(&s, (const char *[]){"ok", NULL});
    assert_int_equal(s.done[0], 1);
    connection_free(&c);
    drop_curtain(&s);
}

/* ---- stop: last, since a stop that was asked for stays asked for ---- */

static volatile sig_atomic_t at_work;

static void on_alarm(int number)
{
    (void)number;
    if (++at_work == 2)
        stop_request();
}

static void test_stop(void **state)
{
    (void)state;
    struct stage s;
    struct error e = {0};
    raise_curtain(&s, 2, 5, 0);
    signal(SIGRTMIN, on_alarm);
    assert_int_equal(perform(&s, (const char *[]){"slow-a", "slow-b", "ok-c", NULL}, &e), -1);
    assert_int_equal(e.kind, ERROR_STOPPED);
    assert_int_equal(s.done[0] + s.done[1] + s.done[2] + s.failed[0] + s.failed[1] + s.failed[2], 0);
    expect_events(&s, "group_died", NULL, 0);
    expect_events(&s, "lease", NULL, 2);
    drop_curtain(&s);
}

int main(int argc, char **argv)
{
    if (argc > 10 && !strcmp(argv[1], "--connection"))
        return act(argv[2], argv[10]);
    if (readlink("/proc/self/exe", self, sizeof self - 1) < 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_leases),
        cmocka_unit_test(test_order_of_log),
        cmocka_unit_test(test_death),
        cmocka_unit_test(test_death_without_end),
        cmocka_unit_test(test_broken_group),
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_version),
        cmocka_unit_test(test_gpus),
        cmocka_unit_test(test_no_worker),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_garbage_at_the_door),
        cmocka_unit_test(test_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
