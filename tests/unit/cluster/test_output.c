/* SPDX-License-Identifier: Apache-2.0 */
/* The output of started groups: every byte is passed on, a line at a time, whatever the pieces it comes in; mpirun's messages of
 * a lost rank or host are found in it, in the words that Open MPI 4.1 prints. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cluster/output.h"
#include "common/base/log.h"
#include "common/base/memory.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CAPTURE "output.test.txt"

static int kept = -1; /* our standard error, while a file takes its place */

static void capture_begin(void)
{
    fflush(stderr);
    kept = dup(STDERR_FILENO);
    int fd = open(CAPTURE, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0666);
    dup2(fd, STDERR_FILENO);
    close(fd);
}

/* What was written to standard error since. Caller frees. */
static char *capture_end(void)
{
    fflush(stderr);
    dup2(kept, STDERR_FILENO);
    close(kept);
    FILE *f = fopen(CAPTURE, "r");
    char *text = allocate(1 << 20, 1);
    size_t size = fread(text, 1, (1 << 20) - 1, f);
    fclose(f);
    unlink(CAPTURE);
    text[size] = 0;
    return text;
}

static void expect_captured(const char *expected)
{
    char *found = capture_end();
    if (strcmp(found, expected)) {
        size_t at = 0;
        while (found[at] && found[at] == expected[at])
            at++;
        fail_msg("at byte %zu: expected '%.80s' (%zu bytes in all), found '%.80s' (%zu)", at, expected + at, strlen(expected),
                 found + at, strlen(found));
    }
    free(found);
}

static int open_pipe(struct output *o)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    output_open(o, ends[0]);
    return ends[1];
}

static void put(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void test_lines_in_pieces(void **state)
{
    (void)state;
    struct output o;
    int fd = open_pipe(&o);
    capture_begin();
    output_relay(&o); /* nothing is there: does not wait */
    put(fd, "first\nsec");
    output_relay(&o);
    put(fd, "o");
    output_relay(&o);
    put(fd, "nd\n\n  indented\t\xc3\xa4\xff %s %n\nlast without end");
    output_relay(&o);
    char *now = capture_end();
    assert_string_equal(now, "first\nsecond\n\n  indented\t\xc3\xa4\xff %s %n\n"); /* the last line is not whole yet */
    free(now);
    assert_true(o.descriptor >= 0);
    capture_begin();
    close(fd);
    output_relay(&o);
    expect_captured("last without end\n");
    assert_int_equal(o.descriptor, -1);
    assert_int_equal(o.lost_rank, -1);
    output_relay(&o); /* closed: harmless */
    output_close(&o);
    output_close(&o);
}

static void test_every_piece_size(void **state)
{
    (void)state;
    const char text[] = "alpha\n\nbeta gamma\n\n\ndelta\n";
    for (size_t piece = 1; piece < sizeof text; piece++) {
        struct output o;
        int fd = open_pipe(&o);
        capture_begin();
        for (size_t at = 0; at < sizeof text - 1; at += piece) {
            size_t size = sizeof text - 1 - at < piece ? sizeof text - 1 - at : piece;
            assert_int_equal(write(fd, text + at, size), size);
            output_relay(&o);
        }
        close(fd);
        output_close(&o); /* takes what is still there */
        expect_captured(text);
    }
}

/* What workers log gets our own prefix; the same words elsewhere in a line are only words. */
static void test_lines_of_workers(void **state)
{
    (void)state;
    struct output o;
    int fd = open_pipe(&o);
    log_setup("muster", LOG_INFO);
    put(fd, "muster-worker: warning: %s is full\nmuster-worker:none\n muster-worker: indented\n[n1] muster-worker: "
            "x\nmuster-worker: \n");
    close(fd);
    capture_begin();
    output_close(&o);
    expect_captured(
        "muster: warning: %s is full\nmuster-worker:none\n muster-worker: indented\n[n1] muster-worker: x\nmuster: \n");
}

/* A line without end does not gather for ever: it goes out in pieces, and no byte is lost. */
static void test_endless_line(void **state)
{
    (void)state;
    enum { SIZE = 300000 };
    struct output o;
    int ends[2], status;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (!pid) {
        char *text = allocate(SIZE + 1, 1);
        for (size_t i = 0; i < SIZE; i++)
            text[i] = (char)('a' + i % 26);
        text[SIZE - 1] = '\n';
        close(ends[0]);
        for (size_t done = 0; done < SIZE;) {
            ssize_t n = write(ends[1], text + done, SIZE - done);
            if (n <= 0)
                _exit(1);
            done += (size_t)n;
        }
        _exit(0);
    }
    close(ends[1]);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    output_open(&o, ends[0]);
    capture_begin();
    size_t most = 0;
    while (o.descriptor >= 0) {
        output_relay(&o);
        most = o.line.capacity > most ? o.line.capacity : most;
        usleep(1000);
    }
    char *found = capture_end();
    waitpid(pid, &status, 0);
    size_t letters = 0;
    for (const char *at = found; *at; at++)
        if (*at != '\n') {
            if (*at != (char)('a' + letters % 26))
                fail_msg("letter %zu: expected %c, found %c", letters, (int)('a' + letters % 26), *at);
            letters++;
        }
    assert_int_equal(letters, SIZE - 1);
    if (most > 65536)
        fail_msg("expected: a few KB held; found: %zu", most);
    free(found);
    output_close(&o);
}

/* Relays a whole text, and gives what was found in it. */
static struct output found_in(const char *text)
{
    struct output o;
    int fd = open_pipe(&o);
    put(fd, text);
    close(fd);
    capture_begin();
    output_close(&o);
    expect_captured(text);
    return o;
}

#define RULE "--------------------------------------------------------------------------\n"

static void test_a_rank_that_died(void **state)
{
    (void)state;
    struct output o =
        found_in(RULE "Primary job  terminated normally, but 1 process returned\na non-zero exit code.\n" RULE
                      "mpirun noticed that process rank 1 with PID 0 on node n7 exited on signal 9 (Killed).\n" RULE);
    assert_int_equal(o.lost_rank, 1);
    assert_int_equal(o.signal, 9);
    assert_string_equal(o.lost_host, "n7");
    o = found_in("mpirun noticed that process rank 12 with PID 4711 on node gpu-03.cluster.example exited on signal 11 "
                 "(Segmentation fault).\n"
                 "mpirun noticed that process rank 3 with PID 4712 on node other exited on signal 15 (Terminated).\n");
    assert_int_equal(o.lost_rank, 12); /* the first: the others die of it */
    assert_int_equal(o.signal, 11);
    assert_string_equal(o.lost_host, "gpu-03.cluster.example");
}

static void test_a_host_that_is_gone(void **state)
{
    (void)state;
    struct output o = found_in(RULE "ORTE has lost communication with a remote daemon.\n\n"
                                    "  HNP daemon   : [[52515,0],0] on node n1\n"
                                    "  Remote daemon: [[52515,0],2] on node n3\n\n"
                                    "This is usually due to either a failure of the TCP network\n" RULE);
    assert_int_equal(o.lost_rank, -1);
    assert_string_equal(o.lost_host, "n3");
}

static void test_what_only_looks_like_it(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "process rank \n",
        "process rank one with PID 0 on node n7 exited on signal 9\n",
        "mpirun noticed that process rank 1 with PID 0 on node n7 exited normally\n",
        "mpirun noticed that process rank 1 with PID 0 on node\n",
        "Remote daemon: n3\n",
        "  Remote daemon: [[52515,0],2] on node\n",
        "",
        "\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct output o = found_in(texts[i]);
        if (o.lost_rank != -1 || o.lost_host[0])
            fail_msg("'%s': expected: nothing found in it; found: rank %d, host '%s'", texts[i], o.lost_rank, o.lost_host);
    }
    /* A host name beyond its bound is cut, and nothing else is overwritten. */
    char text[1024];
    int size = snprintf(text, sizeof text, "process rank 5 with PID 1 on node ");
    memset(text + size, 'h', 255);
    snprintf(text + size + 255, sizeof text - (size_t)size - 255, " exited on signal 6 (Aborted).\n");
    struct output o = found_in(text);
    assert_int_equal(o.lost_rank, 5);
    assert_int_equal(strlen(o.lost_host), 255);
    assert_int_equal(o.signal, 6);
}

/* A child that still lives when the group is given up: what it wrote is shown, and nobody waits for it. */
static void test_close_does_not_wait(void **state)
{
    (void)state;
    struct output o;
    int ends[2], status;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (!pid) {
        if (write(ends[1], "before\nhalf", 11) != 11)
            _exit(1);
        for (;;)
            pause();
    }
    close(ends[1]);
    char byte;
    assert_int_equal(read(ends[0], &byte, 1), 1); /* it has written */
    assert_int_equal(byte, 'b');
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    output_open(&o, ends[0]);
    capture_begin();
    output_close(&o);
    char *found = capture_end();
    if (strncmp(found, "efore\n", 6))
        fail_msg("expected: 'efore' and what follows; found: '%s'", found);
    free(found);
    assert_int_equal(o.descriptor, -1);
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_in_pieces),         cmocka_unit_test(test_every_piece_size),
        cmocka_unit_test(test_lines_of_workers),        cmocka_unit_test(test_endless_line),
        cmocka_unit_test(test_a_rank_that_died),        cmocka_unit_test(test_a_host_that_is_gone),
        cmocka_unit_test(test_what_only_looks_like_it), cmocka_unit_test(test_close_does_not_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
