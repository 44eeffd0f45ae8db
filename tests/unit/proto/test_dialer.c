/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's end of the control connection: what it says of the state of the line, and that it comes back by itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/proto/control_test.h"

#include <dirent.h>

static void test_wrong_connection_files(void **state)
{
    (void)state;
    struct connection good;
    struct listener *l = open_listener(&good);
    char bad_key[] = "0123456789\"123456789012345678901234567890"; /* '"' is no digit of Z85 */
    char short_key[] = "short";
    const struct {
        struct connection c;
        const char *name, *found; /* found: must stand in the message */
    } rows[] = {
        {{.endpoint = good.endpoint, .server_key = bad_key, .public_key = good.public_key, .secret_key = good.secret_key},
         "g",
         "CURVE"},
        {{.endpoint = good.endpoint, .server_key = good.server_key, .public_key = short_key, .secret_key = good.secret_key},
         "g",
         "connection file"},
        {{.endpoint = good.endpoint, .server_key = good.server_key, .public_key = good.public_key, .secret_key = bad_key},
         "g",
         "CURVE"},
        {{.endpoint = (char *)"127.0.0.1:5",
          .server_key = good.server_key,
          .public_key = good.public_key,
          .secret_key = good.secret_key},
         "g",
         "\"127.0.0.1:5\""},
        {{.endpoint = (char *)"ftp://127.0.0.1:5",
          .server_key = good.server_key,
          .public_key = good.public_key,
          .secret_key = good.secret_key},
         "g",
         "\"ftp://127.0.0.1:5\""},
        {{.endpoint = (char *)"tcp://127.0.0.1",
          .server_key = good.server_key,
          .public_key = good.public_key,
          .secret_key = good.secret_key},
         "g",
         "\"tcp://127.0.0.1\""},
        {good, "", "control connection"}, /* a peer has a name */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct dialer *d = NULL;
        struct error e = {0};
        if (!dialer_create(&d, &rows[i].c, rows[i].name, &e))
            fail_msg("row %zu: expected: refused; found: created", i);
        assert_null(d);
        assert_int_equal(e.kind, ERROR_FAILED);
        if (!strstr(e.message, rows[i].found))
            fail_msg("row %zu: expected a message with '%s'; found: %s", i, rows[i].found, e.message);
        if (strstr(e.message, good.secret_key))
            fail_msg("row %zu: the secret key is in the message", i);
    }
    listener_destroy(&l);
}

static void test_line_comes_up(void **state)
{
    (void)state;
    struct connection c;
    struct listener *l = open_listener(&c);
    double since, before = clock_seconds();
    struct dialer *d = dial(&c, "g");
    assert_int_equal(dialer_line(d, &since), LINE_DOWN);
    assert_true(since >= before && since <= clock_seconds());
    wait_for_line(d, LINE_UP);
    double up;
    dialer_line(d, &up);
    assert_true(up >= since && up <= clock_seconds());
    send_text(d, "beat");
    expect_at_listener(l, "g", "beat");
    dialer_wait(d, -1, 0.2);
    dialer_line(d, &since);
    assert_true(since == up); /* of the last change, not of the last look */
    dialer_destroy(&d);
    assert_null(d);
    dialer_destroy(&d);
    dialer_destroy(NULL);
    listener_destroy(&l);
}

static void test_line_is_refused(void **state)
{
    (void)state;
    struct connection c, other;
    struct listener *l = open_listener(&c), *elsewhere = open_listener(&other);
    struct connection wrong = c;
    wrong.public_key = other.public_key;
    wrong.secret_key = other.secret_key;
    struct dialer *d = dial(&wrong, "g");
    wait_for_line(d, LINE_REFUSED);
    dialer_destroy(&d);
    listener_destroy(&l);
    listener_destroy(&elsewhere);
}

/* Another run has the port: it cannot read what is encrypted for the coordinator of the file, and hangs up without a word. */
static void test_another_coordinator(void **state)
{
    (void)state;
    struct connection c, other;
    struct listener *l = open_listener(&c), *elsewhere = open_listener(&other);
    struct connection wrong = c;
    wrong.server_key = other.server_key;
    struct dialer *d = dial(&wrong, "g");
    send_text(d, "for the other one");
    for (double end = clock_seconds() + 1; clock_seconds() < end; dialer_wait(d, -1, 0.1))
        assert_int_equal(dialer_line(d, NULL), LINE_DOWN);
    expect_nothing_at_listener(l, 0);
    dialer_destroy(&d);
    listener_destroy(&l);
    listener_destroy(&elsewhere);
}

static void test_reconnects(void **state)
{
    (void)state;
    struct connection c;
    struct listener *l = open_listener(&c);
    struct relay relay;
    relay_start(&relay, &c);
    struct dialer *d = dial(&c, "g");
    for (int i = 0; i < 3; i++) {
        char text[32];
        double up, down;
        wait_for_line(d, LINE_UP);
        snprintf(text, sizeof text, "before cut %d", i);
        send_text(d, text);
        expect_at_listener(l, "g", text);
        dialer_line(d, &up);
        relay_tell(&relay, 'c');
        wait_for_line(d, LINE_DOWN);
        dialer_line(d, &down);
        assert_true(down >= up);
        snprintf(text, sizeof text, "during cut %d", i); /* waits, and leaves when the line is back */
        send_text(d, text);
        dialer_wait(d, -1, 0.3);
        assert_int_equal(dialer_line(d, NULL), LINE_DOWN);
        relay_tell(&relay, 'o');
        expect_at_listener(l, "g", text);
        assert_true(listener_send(l, "g", "you are known again"));
        expect_at_dialer(d, "you are known again");
    }
    dialer_destroy(&d);
    listener_destroy(&l);
    relay_tell(&relay, 'q');
}

static double seconds_of_wait(struct dialer *d, int descriptor, double seconds)
{
    double began = clock_seconds();
    dialer_wait(d, descriptor, seconds);
    return clock_seconds() - began;
}

static void test_waiting(void **state)
{
    (void)state;
    struct connection c;
    struct listener *l = open_listener(&c);
    struct dialer *d = dial(&c, "g");
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    send_text(d, "hello");
    expect_at_listener(l, "g", "hello");
    wait_for_line(d, LINE_UP);
    double idle = seconds_of_wait(d, ends[0], 0.3);
    if (idle < 0.25)
        fail_msg("expected: 0.3 s of waiting; found: %.3f", idle);
    assert_int_equal(write(ends[1], "x", 1), 1);
    assert_true(seconds_of_wait(d, ends[0], PATIENCE) < PATIENCE / 2); /* the descriptor can be read */
    char byte;
    assert_int_equal(read(ends[0], &byte, 1), 1);
    assert_true(listener_send(l, "g", "message"));
    assert_true(seconds_of_wait(d, ends[0], PATIENCE) < PATIENCE / 2); /* a message is there */
    const char *bytes;
    size_t size;
    assert_int_equal(dialer_receive(d, &bytes, &size), 1);
    assert_int_equal(dialer_receive(d, &bytes, &size), 0);
    listener_destroy(&l);
    assert_true(seconds_of_wait(d, ends[0], PATIENCE) < PATIENCE / 2); /* the line changed */
    wait_for_line(d, LINE_DOWN);
    close(ends[0]);
    close(ends[1]);
    dialer_destroy(&d);
}

/* Nobody answers: what is sent waits up to a bound, then sending says so; destroy does not wait for it. */
static void test_nobody_answers(void **state)
{
    (void)state;
    struct connection c, other;
    struct listener *l = open_listener(&other);
    uint16_t port = 0;
    int fd = listen_on(&port);
    char endpoint[64];
    snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%d", port);
    c = other;
    c.endpoint = endpoint;
    struct dialer *d = dial(&c, "g");
    size_t sent = 0;
    while (sent < 100000 && dialer_send(d, "is anybody there?"))
        sent++;
    if (sent < 100 || sent == 100000)
        fail_msg("expected: some messages wait, then sending is refused; found: %zu were taken", sent);
    dialer_wait(d, -1, 0.1);
    assert_int_equal(dialer_line(d, NULL), LINE_DOWN);
    double began = clock_seconds();
    dialer_destroy(&d);
    double took = clock_seconds() - began;
    if (took > 1.5)
        fail_msg("expected: destroy at once, since the line is down; found: %.2f s", took);
    close(fd);
    listener_destroy(&l);
}

static void test_last_words(void **state)
{
    (void)state;
    struct connection c;
    struct listener *l = open_listener(&c);
    struct dialer *d = dial(&c, "g");
    wait_for_line(d, LINE_UP);
    for (int i = 0; i < 200; i++)
        send_text(d, "result");
    dialer_destroy(&d);
    for (int i = 0; i < 200; i++)
        expect_at_listener(l, "g", "result");
    expect_nothing_at_listener(l, 0.1);
    listener_destroy(&l);
}

static int count_descriptors(void)
{
    int count = 0;
    DIR *d = opendir("/proc/self/fd");
    while (readdir(d))
        count++;
    closedir(d);
    return count;
}

static void test_nothing_stays(void **state)
{
    (void)state;
    struct connection c;
    struct listener *l = open_listener(&c);
    struct dialer *d = dial(&c, "g");
    wait_for_line(d, LINE_UP);
    dialer_destroy(&d);
    expect_nothing_at_listener(l, 0.5); /* the listener's side of it is closed in the meantime */
    int before = count_descriptors();
    for (int i = 0; i < 5; i++) {
        struct connection wrong = c;
        struct error e;
        d = dial(&c, "g");
        wait_for_line(d, LINE_UP);
        dialer_destroy(&d);
        wrong.endpoint = (char *)"nowhere";
        assert_int_equal(dialer_create(&d, &wrong, "g", &e), -1);
    }
    double end = clock_seconds() + PATIENCE;
    while (count_descriptors() > before && clock_seconds() < end)
        expect_nothing_at_listener(l, 0.1);
    assert_int_equal(count_descriptors(), before);
    listener_destroy(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrong_connection_files),
        cmocka_unit_test(test_line_comes_up),
        cmocka_unit_test(test_line_is_refused),
        cmocka_unit_test(test_another_coordinator),
        cmocka_unit_test(test_reconnects),
        cmocka_unit_test(test_waiting),
        cmocka_unit_test(test_nobody_answers),
        cmocka_unit_test(test_last_words),
        cmocka_unit_test(test_nothing_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
