/* SPDX-License-Identifier: Apache-2.0 */
/* The agent against a scripted coordinator: this test speaks for the coordinator on its own thread, the agent runs on another,
 * with work that follows the trial's key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/operation.h"
#include "common/base/stop.h"
#include "common/base/version.h"
#include "proto/listener.h"
#include "proto/message.h"
#include "worker/agent.h"
#include "worker/client.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FILE_NAME "agent.test.json"

/* ---- work that plays a part ---- */

static atomic_int opened, closed, beats_in_train;

static void close_fake(struct device *d)
{
    atomic_fetch_add(&closed, 1);
    free(d);
}

static const struct device_operations fake_operations = {.kind = DEVICE_FAKE, .destroy = close_fake};

static int open_fake(struct device **ret, const char *name, enum precision precision, int threads, struct error *e)
{
    if (strcmp(name, "fake"))
        return error_set(e, ERROR_USAGE, "device \"%s\" is not known", name);
    atomic_fetch_add(&opened, 1);
    *ret = allocate(1, sizeof **ret);
    **ret = (struct device){&fake_operations, precision, threads};
    return 0;
}

static void describe_fake(const struct device *d, char *text, size_t size)
{
    snprintf(text, size, "fake, %d threads", d->threads);
}

static void step(const struct observer *o, uint64_t number, const char *operation)
{
    struct step_report r = {.step = number, .steps = 10, .epoch = 1, .epochs = 2, .loss = 0.25};
    operation_begin(operation);
    o->step(o->context, &r);
    clock_sleep(0.1);
}

static int train_fake(struct trainer_result *ret, const struct trial *t, struct device *d, struct communicator *c,
                      const struct observer *o, struct error *e)
{
    assert_int_equal(c->size, 1);
    assert_int_equal(d->precision, strcmp(t->precision, "bf16") ? PRECISION_F32 : PRECISION_BF16);
    if (!strcmp(t->key, "fail"))
        return error_set(e, ERROR_DATA, "row 3 is torn");
    uint64_t steps = 0;
    for (uint32_t epoch = 1; epoch <= t->epochs; epoch++) {
        for (int i = 0; i < 5 || !strcmp(t->key, "long"); i++) {
            step(o, ++steps, "forward");
            if (stop_check(e))
                return -1;
        }
        struct epoch_report r = {epoch, 0.5, "/logits"};
        struct epoch_decision v = {0};
        if (o->epoch(o->context, &r, &v, e))
            return -1;
        assert_true(v.best);
        assert_non_null(strstr(v.metrics, "\"f1\""));
        free(v.metrics);
        if (v.stop)
            break;
    }
    *ret = (struct trainer_result){
        .epochs_done = 1, .best_epoch = 1, .steps = steps, .seconds = 0.1, .best_weights = duplicate("/best")};
    return 0;
}

static int score_fake(const struct trial *t, struct device *d, struct communicator *c, const struct observer *o, struct error *e)
{
    (void)t;
    (void)d;
    (void)c;
    (void)e;
    step(o, 1, "evaluate");
    return 0;
}

static const struct agent_work fake_work = {train_fake, score_fake, open_fake, describe_fake};

/* ---- the agent on a thread ---- */

struct run {
    pthread_t thread;
    struct agent_options options;
    struct communicator *communicator;
    int result, exit_code;
    struct error e;
};

static void *run_agent(void *argument)
{
    struct run *r = argument;
    r->result = agent_run(&r->exit_code, &r->options, &fake_work, r->communicator, &r->e);
    return NULL;
}

static void start_agent(struct run *r, const char *device)
{
    *r = (struct run){.options = {FILE_NAME, device, "g1", 3}, .exit_code = -1};
    assert_int_equal(communicator_create(&r->communicator, "self", 1, 10, &r->e), 0);
    assert_int_equal(pthread_create(&r->thread, NULL, run_agent, r), 0);
}

static void join_agent(struct run *r)
{
    pthread_join(r->thread, NULL);
    r->communicator->run->destroy(r->communicator);
}

/* ---- the coordinator ---- */

static struct listener *open_stage(const char *version)
{
    struct listener *l;
    struct connection c;
    struct error e = {0};
    assert_int_equal(listener_create(&l, "127.0.0.1", &e), 0);
    listener_connection(l, &c);
    c.protocol = strcmp(version, MUSTER_VERSION) ? 77 : PROTOCOL_VERSION;
    c.version = (char *)(uintptr_t)version;
    assert_int_equal(connection_write(&c, FILE_NAME, &e), 0);
    return l;
}

static void say(struct listener *l, const struct message *m)
{
    struct error e;
    char *text;
    assert_int_equal(message_encode(&text, m, &e), 0);
    assert_true(listener_send(l, "g1", text));
    free(text);
}

/* The next message that is not a beat (unless one is asked for). */
static struct message hear(struct listener *l, enum message_kind kind)
{
    char peer[PEER_NAME];
    const char *bytes;
    size_t size;
    struct error e = {0};
    struct message m;
    for (double end = clock_seconds() + 20; clock_seconds() < end;) {
        if (listener_receive(l, peer, &bytes, &size, 0.2, &e) != 1)
            continue;
        assert_string_equal(peer, "g1");
        if (message_decode(&m, bytes, size, SIDE_WORKER, &e))
            fail_msg("%.*s: %s", (int)size, bytes, e.message);
        if (m.kind == MESSAGE_BEAT && kind != MESSAGE_BEAT) {
            beats_in_train += m.beat.operation && !strcmp(m.beat.operation, "forward") && m.beat.loss == 0.25;
            message_free(&m);
            continue;
        }
        if (m.kind != kind)
            fail_msg("expected message kind %d, found %.*s", (int)kind, (int)size, bytes);
        return m;
    }
    fail_msg("message kind %d did not come within 20 s", (int)kind);
    return m;
}

static void welcome(struct listener *l, double heartbeat_timeout)
{
    struct message m = hear(l, MESSAGE_HELLO);
    assert_string_equal(m.hello.version, MUSTER_VERSION);
    assert_string_equal(m.hello.device, "fake, 3 threads");
    assert_true(m.hello.ranks == 1 && m.hello.threads == 3 && m.hello.pid == getpid());
    message_free(&m);
    m = (struct message){.kind = MESSAGE_WELCOME,
                         .welcome = {PROTOCOL_VERSION, (char *)(uintptr_t)MUSTER_VERSION, heartbeat_timeout}};
    say(l, &m);
}

static void lend(struct listener *l, uint64_t lease, const char *key, enum trial_kind kind, const char *precision)
{
    struct message m = {.kind = MESSAGE_LEASE,
                        .lease = {.lease = lease,
                                  .attempt = 1,
                                  .trial = {.kind = kind,
                                            .key = (char *)(uintptr_t)key,
                                            .directory = (char *)"/f",
                                            .dataset = (char *)"/d",
                                            .model = (char *)"/m",
                                            .labels = 2,
                                            .epochs = 2}}};
    strcpy(m.lease.trial.precision, precision);
    say(l, &m);
}

static void judge(struct listener *l, uint64_t lease, uint32_t epoch, bool stop)
{
    struct message m = hear(l, MESSAGE_EPOCH);
    assert_true(m.epoch.lease == lease && m.epoch.epoch == epoch && m.epoch.train_loss == 0.5);
    assert_string_equal(m.epoch.logits, "/logits");
    message_free(&m);
    m = (struct message){.kind = MESSAGE_EPOCH_DECISION,
                         .epoch_decision = {lease + 50, epoch, false, true, NULL}}; /* of another lease: not heard */
    say(l, &m);
    m = (struct message){.kind = MESSAGE_EPOCH_DECISION, .epoch_decision = {lease, epoch, true, stop, json_object()}};
    json_set_number(m.epoch_decision.metrics, "f1", 0.5);
    say(l, &m);
    message_free(&m);
}

static void dismiss(struct listener *l, int code)
{
    struct message m = {.kind = MESSAGE_GOODBYE, .goodbye = {code}};
    say(l, &m);
}

/* stop_requested() lasts as long as the process, so each test runs in a process of its own: this program with the test's name. */
static bool alone;

static void in_child(const char *name, void (*test)(void))
{
    if (alone) {
        test();
        return;
    }
    fflush(NULL);
    pid_t child = fork();
    if (!child) {
        execl("/proc/self/exe", "test_agent", name, (char *)NULL);
        _exit(127);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void leases(void)
{
    struct run r;
    struct listener *l = open_stage(MUSTER_VERSION);
    start_agent(&r, "fake");
    welcome(l, 2);
    lend(l, 1, "good", TRIAL_TRAIN, "f32");
    judge(l, 1, 1, false);
    judge(l, 1, 2, true);
    struct message m = hear(l, MESSAGE_RESULT);
    assert_true(m.result.lease == 1 && m.result.steps == 10 && m.result.best_epoch == 1);
    assert_string_equal(m.result.best_weights, "/best");
    message_free(&m);

    lend(l, 2, "fail", TRIAL_TRAIN, "f32");
    m = hear(l, MESSAGE_FAILED);
    assert_true(m.failed.lease == 2 && m.failed.kind == ERROR_DATA && m.failed.healthy);
    assert_string_equal(m.failed.reason, "row 3 is torn");
    message_free(&m);

    lend(l, 3, "good", TRIAL_TRAIN, "f64");
    m = hear(l, MESSAGE_FAILED);
    assert_true(m.failed.kind == ERROR_USAGE && strstr(m.failed.reason, "f64"));
    message_free(&m);

    lend(l, 4, "score", TRIAL_SCORE, "bf16"); /* the group goes on after failures */
    m = hear(l, MESSAGE_RESULT);
    assert_true(m.result.lease == 4 && !m.result.best_weights);
    message_free(&m);
    m = hear(l, MESSAGE_BEAT);
    assert_true(m.beat.lease == 0 && !m.beat.operation); /* idle again */
    message_free(&m);

    dismiss(l, 4);
    join_agent(&r);
    assert_int_equal(r.result, 0);
    assert_int_equal(r.exit_code, 4);
    assert_true(beats_in_train > 0);
    assert_int_equal(opened, 2); /* one a precision, however many leases */
    assert_int_equal(closed, 2);
    listener_destroy(&l);
}

static void stop_at_work(void)
{
    struct run r;
    struct listener *l = open_stage(MUSTER_VERSION);
    start_agent(&r, "fake");
    welcome(l, 5);
    lend(l, 1, "long", TRIAL_TRAIN, "f32");
    struct message m = {.kind = MESSAGE_STOP};
    clock_sleep(0.3);
    say(l, &m);
    m = hear(l, MESSAGE_STOPPED);
    assert_true(m.stopped.lease == 1 && !m.stopped.leaving);
    dismiss(l, 75);
    join_agent(&r);
    assert_true(r.result == 0 && r.exit_code == 75);
    listener_destroy(&l);
}

static void stop_while_idle(void)
{
    struct run r;
    struct listener *l = open_stage(MUSTER_VERSION);
    start_agent(&r, "fake");
    welcome(l, 5);
    struct message m = {.kind = MESSAGE_STOP};
    say(l, &m);
    m = hear(l, MESSAGE_STOPPED);
    assert_true(m.stopped.lease == 0 && !m.stopped.leaving);
    dismiss(l, 0);
    join_agent(&r);
    assert_true(r.result == 0 && r.exit_code == 0);
    listener_destroy(&l);
}

static void goodbye_at_work(void)
{
    struct run r;
    struct listener *l = open_stage(MUSTER_VERSION);
    start_agent(&r, "fake");
    welcome(l, 5);
    lend(l, 1, "long", TRIAL_TRAIN, "f32");
    clock_sleep(0.2);
    dismiss(l, 3);
    join_agent(&r);
    assert_true(r.result == 0 && r.exit_code == 3);
    listener_destroy(&l);
}

/* The coordinator dies: the trial saves and the worker ends by itself, resumable. */
static void lose_coordinator(void)
{
    struct run r;
    struct listener *l = open_stage(MUSTER_VERSION);
    start_agent(&r, "fake");
    welcome(l, 1);
    lend(l, 1, "long", TRIAL_TRAIN, "f32");
    clock_sleep(0.2);
    listener_destroy(&l);
    double start = clock_seconds();
    join_agent(&r);
    double seconds = clock_seconds() - start;
    assert_true(r.result == 0 && r.exit_code == ERROR_STOPPED);
    if (seconds < 0.5 || seconds > 10)
        fail_msg("a coordinator that is gone for 1 s should be noticed then, not after %g s", seconds);
}

static void refusals(void)
{
    struct run r;
    struct listener *l = open_stage("9.9.9");
    start_agent(&r, "fake");
    join_agent(&r);
    assert_int_equal(r.result, -1);
    assert_non_null(strstr(r.e.message, "muster 9.9.9 uses protocol 77, but this program (" MUSTER_VERSION ") uses protocol 1;"));
    listener_destroy(&l);

    l = open_stage(MUSTER_VERSION);
    start_agent(&r, "warp"); /* the coordinator hears why this group will not do */
    struct message m = hear(l, MESSAGE_HELLO);
    assert_string_equal(m.hello.problem, r.e.message);
    message_free(&m);
    m = (struct message){.kind = MESSAGE_REFUSED, .refused = {(char *)(uintptr_t) "so be it"}};
    say(l, &m);
    join_agent(&r);
    assert_true(r.result == -1 && r.e.kind == ERROR_USAGE);
    start_agent(&r, "fake");
    m = hear(l, MESSAGE_HELLO);
    assert_null(m.hello.problem);
    assert_non_null(strstr(m.hello.places, "rank 0: "));
    assert_int_equal(strlen(m.hello.build), 64);
    message_free(&m);
    m = (struct message){.kind = MESSAGE_REFUSED, .refused = {(char *)(uintptr_t) "no slot is free"}};
    say(l, &m);
    join_agent(&r);
    assert_int_equal(r.result, -1);
    assert_non_null(strstr(r.e.message, "rejected this worker: no slot is free"));
    listener_destroy(&l);

    struct listener *other;
    struct connection mine, theirs;
    struct error e = {0};
    l = open_stage(MUSTER_VERSION);
    assert_int_equal(listener_create(&other, "127.0.0.1", &e), 0);
    listener_connection(l, &mine);
    listener_connection(other, &theirs);
    theirs.endpoint = mine.endpoint;
    theirs.server_key = mine.server_key;
    theirs.protocol = PROTOCOL_VERSION;
    theirs.version = (char *)(uintptr_t)MUSTER_VERSION;
    assert_int_equal(connection_write(&theirs, FILE_NAME, &e), 0);
    start_agent(&r, "fake");
    join_agent(&r);
    assert_int_equal(r.result, -1);
    assert_non_null(strstr(r.e.message, "does not accept the key"));
    listener_destroy(&other);
    listener_destroy(&l);
}

/* What the agent says on standard error when the coordinator's clock is `ahead` seconds ahead of ours. */
static void hear_of_clock(char *said, size_t size, double ahead)
{
    struct listener *l = open_stage(MUSTER_VERSION);
    struct run r;
    FILE *file = tmpfile();
    int before = dup(STDERR_FILENO);
    assert_non_null(file);
    start_agent(&r, "fake");
    struct message m = hear(l, MESSAGE_HELLO);
    message_free(&m);
    dup2(fileno(file), STDERR_FILENO);
    m = (struct message){.kind = MESSAGE_WELCOME,
                         .welcome = {PROTOCOL_VERSION, (char *)(uintptr_t)MUSTER_VERSION, 10, (double)time(NULL) + ahead}};
    say(l, &m);
    dismiss(l, 0);
    join_agent(&r);
    dup2(before, STDERR_FILENO);
    close(before);
    rewind(file);
    said[fread(said, 1, size - 1, file)] = 0;
    fclose(file);
    listener_destroy(&l);
    if (r.result || r.exit_code)
        fail_msg("%d, exit code %d: %s", r.result, r.exit_code, r.e.message);
}

static void check_clock(double ahead, const char *words)
{
    char said[4096], host[256] = "";
    gethostname(host, sizeof host - 1);
    hear_of_clock(said, sizeof said, ahead);
    const char *first = strstr(said, "the clock of host");
    if (!words && first)
        fail_msg("%g s were worth a word: %s", ahead, said);
    if (words && (!first || !strstr(first, words) || !strstr(first, host) || strstr(first + 1, "the clock of host")))
        fail_msg("%g s: expected one line with \"%s\", found: %s", ahead, words, said);
}

static void clock_like_ours(void)
{
    check_clock(30, NULL);
}

static void clock_ahead(void)
{
    check_clock(1000, " s behind that of the coordinator's host");
}

static void clock_behind(void)
{
    check_clock(-1000, " s ahead of that of the coordinator's host");
}

/* Rank 1 of a group, in a process of its own. */
static pid_t start_rank(void)
{
    pid_t child = fork();
    if (child)
        return child;
    struct message_hello hello = {
        .host = (char *)"h", .device = (char *)"", .pid = getpid(), .ranks = 2, .threads = 1, .group = (char *)"g1", .rank = 1};
    struct client *client;
    struct error e;
    if (client_create(&client, FILE_NAME, &hello, &e))
        _exit(99);
    clock_sleep(60); /* in a collective that never ends */
    _exit(98);
}

static void send_to_rank(struct listener *l, const struct message *m)
{
    struct error e;
    char *text;
    assert_int_equal(message_encode(&text, m, &e), 0);
    listener_send(l, "g1/1", text);
    free(text);
}

/* A rank whose group was given up, and which nobody else ends, exits; it does not beat for ever. */
static void refused_rank_leaves(void)
{
    struct listener *l = open_stage(MUSTER_VERSION);
    struct message welcomed = {.kind = MESSAGE_WELCOME, .welcome = {PROTOCOL_VERSION, (char *)(uintptr_t)MUSTER_VERSION, 1}};
    struct message refused = {.kind = MESSAGE_REFUSED, .refused = {(char *)(uintptr_t) "this worker group was given up"}};
    char peer[PEER_NAME];
    const char *bytes;
    size_t size;
    struct error e;
    int status = 0;
    bool hello = true;
    pid_t child = start_rank(), ended = 0;
    for (double end = clock_seconds() + 20; !ended && clock_seconds() < end; ended = waitpid(child, &status, WNOHANG))
        if (listener_receive(l, peer, &bytes, &size, 0.1, &e) == 1) {
            assert_string_equal(peer, "g1/1");
            send_to_rank(l, hello ? &welcomed : &refused);
            hello = false;
        }
    if (!ended)
        kill(child, SIGKILL);
    listener_destroy(&l);
    assert_int_equal(ended, child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), ERROR_FAILED);
}

#define IN_CHILD(name)                                                                                                           \
    static void test_##name(void **state)                                                                                        \
    {                                                                                                                            \
        (void)state;                                                                                                             \
        in_child("test_" #name, name);                                                                                           \
    }
IN_CHILD(leases)
IN_CHILD(stop_at_work)
IN_CHILD(stop_while_idle)
IN_CHILD(goodbye_at_work)
IN_CHILD(lose_coordinator)
IN_CHILD(refusals)
IN_CHILD(refused_rank_leaves)
IN_CHILD(clock_like_ours)
IN_CHILD(clock_ahead)
IN_CHILD(clock_behind)

int main(int argc, char **argv)
{
    if (argc > 1) {
        alone = true;
        cmocka_set_test_filter(argv[1]);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_leases),
        cmocka_unit_test(test_stop_at_work),
        cmocka_unit_test(test_stop_while_idle),
        cmocka_unit_test(test_goodbye_at_work),
        cmocka_unit_test(test_lose_coordinator),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_refused_rank_leaves),
        cmocka_unit_test(test_clock_like_ours),
        cmocka_unit_test(test_clock_ahead),
        cmocka_unit_test(test_clock_behind),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (!alone)
        unlink(FILE_NAME);
    return failed;
}
