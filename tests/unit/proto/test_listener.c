/* SPDX-License-Identifier: Apache-2.0 */
/* The coordinator's end of the control connection, by real sockets: who gets in, who does not, and that nobody harms the others.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/proto/control_test.h"

#include <dirent.h>
#include <signal.h>
#include <sys/time.h>
#include <zmq.h>

static void test_keys_and_endpoint(void **state)
{
    (void)state;
    struct connection a, b;
    struct listener *first = open_listener(&a), *second = open_listener(&b);
    int port;
    assert_int_equal(sscanf(a.endpoint, "tcp://127.0.0.1:%d", &port), 1);
    assert_true(port > 0);
    assert_string_not_equal(a.endpoint, b.endpoint);
    assert_null(a.version);
    assert_null(a.session);
    const char *keys[] = {a.server_key, a.public_key, a.secret_key, b.server_key, b.public_key, b.secret_key};
    for (size_t i = 0; i < 6; i++) {
        uint8_t raw[32];
        assert_int_equal(strlen(keys[i]), CONNECTION_KEY - 1);
        assert_non_null(zmq_z85_decode(raw, keys[i]));
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(keys[i], keys[k]);
    }
    char public_key[CONNECTION_KEY];
    assert_int_equal(zmq_curve_public(public_key, a.secret_key), 0); /* the pair belongs together */
    assert_string_equal(public_key, a.public_key);
    listener_destroy(&first);
    assert_null(first);
    listener_destroy(&first);
    listener_destroy(NULL);
    listener_destroy(&second);
}

static void test_addresses(void **state)
{
    (void)state;
    /* Not of this host (TEST-NET-3, RFC 5737); not an address. */
    static const char *const wrong[] = {"203.0.113.5", "256.0.0.1", "", "no such host"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct listener *l = NULL;
        struct error e = {0};
        assert_int_equal(listener_create(&l, wrong[i], &e), -1);
        assert_null(l);
        assert_int_equal(e.kind, ERROR_FAILED);
        if (!strstr(e.message, "control connection") || !strstr(e.message, wrong[i]))
            fail_msg("expected: a message with the address \"%s\"; found: %s", wrong[i], e.message);
    }
    struct listener *l = NULL;
    struct error e = {0};
    if (listener_create(&l, "::1", &e)) {
        print_message("no IPv6 here: %s\n", e.message);
        return;
    }
    struct connection c;
    listener_connection(l, &c);
    assert_int_equal(strncmp(c.endpoint, "tcp://[::1]:", 12), 0);
    struct dialer *d = dial(&c, "six");
    send_text(d, "hello");
    expect_at_listener(l, "six", "hello");
    dialer_destroy(&d);
    listener_destroy(&l);
}

static void test_messages_in_order(void **state)
{
    (void)state;
    struct connection c;
    struct listener *l = open_listener(&c);
    struct dialer *d = dial(&c, "group/3");
    char text[64];
    for (int i = 0; i < 3000; i++) { /* more than fits in any queue at once */
        snprintf(text, sizeof text, "message %d", i);
        send_text(d, text);
        if (i >= 500) {
            snprintf(text, sizeof text, "message %d", i - 500);
            expect_at_listener(l, "group/3", text);
        }
    }
    for (int i = 2500; i < 3000; i++) {
        snprintf(text, sizeof text, "message %d", i);
        expect_at_listener(l, "group/3", text);
    }
    expect_nothing_at_listener(l, 0);
    for (int i = 0; i < 500; i++) {
        snprintf(text, sizeof text, "answer %d", i);
        assert_true(listener_send(l, "group/3", text));
    }
    for (int i = 0; i < 500; i++) {
        snprintf(text, sizeof text, "answer %d", i);
        expect_at_dialer(d, text);
    }
    dialer_destroy(&d);
    listener_destroy(&l);
}

static void test_who_is_connected(void **state)
{
    (void)state;
    struct connection c;
    struct listener *l = open_listener(&c);
    assert_false(listener_send(l, "nobody", "text"));
    assert_false(listener_send(l, "", "text"));
    struct dialer *d = dial(&c, "somebody");
    send_text(d, "hello");
    expect_at_listener(l, "somebody", "hello");
    assert_false(listener_send(l, "nobody", "text"));
    assert_true(listener_send(l, "somebody", "text"));
    expect_at_dialer(d, "text");
    dialer_destroy(&d);
    double end = clock_seconds() + PATIENCE;
    bool gone = false;
    while (!gone && clock_seconds() < end) {
        gone = !listener_send(l, "somebody", "text");
        expect_nothing_at_listener(l, 0.02);
    }
    assert_true(gone);
    listener_destroy(&l);
}

/* A worker that comes again under its name (the old connection not yet found dead) takes the name over. */
static void test_name_is_taken_over(void **state)
{
    (void)state;
    struct connection c;
    struct listener *l = open_listener(&c);
    struct dialer *old = dial(&c, "twice"), *fresh;
    send_text(old, "old");
    expect_at_listener(l, "twice", "old");
    fresh = dial(&c, "twice");
    send_text(fresh, "fresh");
    expect_at_listener(l, "twice", "fresh");
    assert_true(listener_send(l, "twice", "for the fresh one"));
    expect_at_dialer(fresh, "for the fresh one");
    const char *bytes;
    size_t size;
    dialer_wait(old, -1, 0.1);
    assert_int_equal(dialer_receive(old, &bytes, &size), 0);
    dialer_destroy(&old);
    dialer_destroy(&fresh);
    listener_destroy(&l);
}

/* ---- who may not come in ---- */

static void expect_works(struct listener *l, const struct connection *c, const char *name)
{
    struct dialer *d = dial(c, name);
    send_text(d, "I have the key");
    expect_at_listener(l, name, "I have the key");
    assert_true(listener_send(l, name, "welcome"));
    expect_at_dialer(d, "welcome");
    dialer_destroy(&d);
}

static void test_keys_of_another_run(void **state)
{
    (void)state;
    struct connection c, other;
    struct listener *l = open_listener(&c), *elsewhere = open_listener(&other);
    struct connection wrong = c;
    wrong.public_key = other.public_key;
    wrong.secret_key = other.secret_key;
    struct dialer *d = dial(&wrong, "spy");
    dialer_send(d, "let me in");
    wait_for_line(d, LINE_REFUSED);
    expect_nothing_at_listener(l, 0.3);
    assert_false(listener_send(l, "spy", "secret"));
    dialer_destroy(&d);
    expect_works(l, &c, "honest");
    listener_destroy(&l);
    listener_destroy(&elsewhere);
}

/* The key a message is encrypted for is the server's: one that only knows the workers' keys gets nothing through either. */
static void test_another_servers_key(void **state)
{
    (void)state;
    struct connection c, other;
    struct listener *l = open_listener(&c), *elsewhere = open_listener(&other);
    struct connection wrong = c;
    wrong.server_key = other.server_key;
    struct dialer *d = dial(&wrong, "lost");
    dialer_send(d, "let me in");
    for (double end = clock_seconds() + 1; clock_seconds() < end;)
        dialer_wait(d, -1, 0.1);
    assert_int_not_equal(dialer_line(d, NULL), LINE_UP);
    expect_nothing_at_listener(l, 0.1);
    dialer_destroy(&d);
    expect_works(l, &c, "honest");
    listener_destroy(&l);
    listener_destroy(&elsewhere);
}

/* libzmq's own client without security, and with PLAIN: neither is CURVE. */
static void test_no_security(void **state)
{
    (void)state;
    struct connection c;
    struct listener *l = open_listener(&c);
    void *context = zmq_ctx_new();
    int none = 0;
    for (int plain = 0; plain < 2; plain++) {
        void *socket = zmq_socket(context, ZMQ_DEALER);
        zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none);
        if (plain) {
            zmq_setsockopt(socket, ZMQ_PLAIN_USERNAME, "muster", 6);
            zmq_setsockopt(socket, ZMQ_PLAIN_PASSWORD, c.secret_key, CONNECTION_KEY - 1);
        }
        assert_int_equal(zmq_connect(socket, c.endpoint), 0);
        zmq_send(socket, "let me in", 9, ZMQ_DONTWAIT);
        expect_nothing_at_listener(l, 0.4);
        zmq_close(socket);
    }
    zmq_ctx_term(context);
    expect_works(l, &c, "honest");
    listener_destroy(&l);
}

/* Bytes that are no ZMTP, of which many: the connection ends, and who speaks ZMTP is not disturbed. */
static void test_garbage_on_the_port(void **state)
{
    (void)state;
    struct connection c;
    struct listener *l = open_listener(&c);
    struct dialer *d = dial(&c, "honest");
    static const char http[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    unsigned char noise[65536];
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (unsigned char)(i * 2654435761u >> 13);
    /* A good ZMTP 3.0 greeting whose mechanism is NULL, then a command that claims 2^62 bytes. */
    unsigned char greeting[64 + 9] = {0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 0, 'C', 'U', 'R', 'V', 'E'};
    memcpy(greeting + 64, "\x06\x40\0\0\0\0\0\0\0", 9);
    const struct {
        const void *bytes;
        size_t size;
    } rows[] = {{http, sizeof http - 1}, {noise, sizeof noise}, {greeting, sizeof greeting}, {greeting, 30}, {"", 0}};
    int fds[5 * 4];
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
        fds[i] = connect_plain(port_of(&c));
        if (send(fds[i], rows[i % 5].bytes, rows[i % 5].size, MSG_NOSIGNAL) < 0)
            print_message("the listener has closed already\n");
    }
    send_text(d, "through the noise");
    expect_at_listener(l, "honest", "through the noise");
    expect_nothing_at_listener(l, 0.3);
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        close(fds[i]);
    assert_true(listener_send(l, "honest", "still here"));
    expect_at_dialer(d, "still here");
    dialer_destroy(&d);
    listener_destroy(&l);
}

/* ---- who has the key, but sends what is no message ---- */

static void *open_raw(void *context, const struct connection *c, const char *name)
{
    void *socket = zmq_socket(context, ZMQ_DEALER);
    int wait = 5000;
    zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, c->server_key, CONNECTION_KEY);
    zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, c->public_key, CONNECTION_KEY);
    zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, c->secret_key, CONNECTION_KEY);
    zmq_setsockopt(socket, ZMQ_LINGER, &wait, sizeof wait);
    if (name)
        assert_int_equal(zmq_setsockopt(socket, ZMQ_ROUTING_ID, name, strlen(name)), 0);
    assert_int_equal(zmq_connect(socket, c->endpoint), 0);
    return socket;
}

static void test_frames_and_names(void **state)
{
    (void)state;
    struct connection c;
    struct listener *l = open_listener(&c);
    void *context = zmq_ctx_new();
    char longest[PEER_NAME], too_long[PEER_NAME + 1];
    memset(longest, 'n', sizeof longest);
    memset(too_long, 'n', sizeof too_long);
    longest[PEER_NAME - 1] = too_long[PEER_NAME] = 0;
    const char *wrong[] = {"two words", "tab\there", "bell\a",
                           "\xc3\xa4",  too_long,    NULL /* libzmq makes five bytes, the first 0 */};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        void *socket = open_raw(context, &c, wrong[i]);
        assert_int_equal(zmq_send(socket, "my name is wrong", 16, 0), 16);
        zmq_close(socket);
    }
    expect_nothing_at_listener(l, 0.5);
    void *socket = open_raw(context, &c, longest);
    zmq_send(socket, "two", 3, ZMQ_SNDMORE);
    zmq_send(socket, "frames", 6, 0);
    for (int i = 0; i < 99; i++)
        zmq_send(socket, "of a hundred", 12, ZMQ_SNDMORE);
    zmq_send(socket, "", 0, 0);
    zmq_send(socket, "one", 3, 0);
    zmq_send(socket, "", 0, 0);
    expect_at_listener(l, longest, "one"); /* what came before it is not reported, and not mixed into it */
    expect_at_listener(l, longest, "");
    zmq_close(socket);
    zmq_ctx_term(context);
    listener_destroy(&l);
}

/* What message_encode lets out must get through; what is larger ends the sender's connection, and nobody else's. */
static void test_largest_message(void **state)
{
    (void)state;
    struct connection c;
    struct listener *l = open_listener(&c);
    struct dialer *d = dial(&c, "large"), *other = dial(&c, "other");
    char *text = allocate(MESSAGE_LIMIT + 2, 1);
    memset(text, 'x', MESSAGE_LIMIT);
    send_text(d, text);
    expect_at_listener(l, "large", text);
    assert_true(listener_send(l, "large", text));
    expect_at_dialer(d, text);
    size_t beyond = MESSAGE_LIMIT + 65536;
    text = reallocate(text, beyond + 1, 1);
    memset(text, 'x', beyond);
    text[beyond] = 0;
    send_text(d, text);
    send_text(other, "small");
    expect_at_listener(l, "other", "small");
    expect_nothing_at_listener(l, 0.5);
    wait_for_line(d, LINE_UP); /* it may come again, and be heard */
    send_text(d, "sorry");
    expect_at_listener(l, "large", "sorry");
    free(text);
    dialer_destroy(&d);
    dialer_destroy(&other);
    listener_destroy(&l);
}

/* ---- waiting ---- */

static void on_alarm(int number)
{
    (void)number;
}

static void test_waiting(void **state)
{
    (void)state;
    struct connection c;
    struct listener *l = open_listener(&c);
    double began = clock_seconds();
    expect_nothing_at_listener(l, 0.3);
    double waited = clock_seconds() - began;
    if (waited < 0.25 || waited > 10)
        fail_msg("expected: 0.3 s of waiting; found: %.3f", waited);
    began = clock_seconds();
    for (int i = 0; i < 1000; i++)
        expect_nothing_at_listener(l, 0); /* only looks */
    assert_true(clock_seconds() - began < 10);
    struct sigaction action = {.sa_handler = on_alarm}, before;
    sigaction(SIGALRM, &action, &before);
    struct itimerval soon = {{0, 0}, {0, 200000}};
    setitimer(ITIMER_REAL, &soon, NULL);
    began = clock_seconds();
    expect_nothing_at_listener(l, PATIENCE * 10); /* a signal ends it, and is no error */
    waited = clock_seconds() - began;
    if (waited > PATIENCE)
        fail_msg("expected: the signal ends the wait; found: %.1f s", waited);
    sigaction(SIGALRM, &before, NULL);
    expect_works(l, &c, "after");
    listener_destroy(&l);
}

/* Of the threads of this process: how many there are, and how many would take SIGTERM. */
static void count_threads(int *all, int *open)
{
    *all = *open = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *entry; (entry = readdir(tasks));) {
        char path[300], line[256];
        unsigned long long blocked = 0;
        snprintf(path, sizeof path, "/proc/self/task/%s/status", entry->d_name);
        FILE *f = entry->d_name[0] == '.' ? NULL : fopen(path, "r");
        if (!f)
            continue;
        while (fgets(line, sizeof line, f))
            if (sscanf(line, "SigBlk: %llx", &blocked) == 1)
                break;
        fclose(f);
        ++*all;
        *open += !(blocked >> (SIGTERM - 1) & 1);
    }
    closedir(tasks);
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

/* Signals belong to the owner's thread, which sleeps in listener_receive; nothing stays behind after destroy, also after a
 * failure. */
static void test_threads_and_descriptors(void **state)
{
    (void)state;
    int all, open, all_then, open_then, descriptors = count_descriptors();
    count_threads(&all, &open);
    for (int i = 0; i < 5; i++) {
        struct connection c;
        struct listener *l = open_listener(&c), *none;
        struct error e;
        expect_works(l, &c, "one");
        count_threads(&all_then, &open_then);
        assert_true(all_then > all);
        if (open_then != open)
            fail_msg("expected: none of the listener's threads takes SIGTERM; found: %d of %d do", open_then - open,
                     all_then - all);
        assert_int_equal(listener_create(&none, "203.0.113.5", &e), -1);
        listener_destroy(&l);
    }
    count_threads(&all_then, &open_then);
    assert_int_equal(all_then, all);
    assert_int_equal(count_descriptors(), descriptors);
}

/* What was sent just before destroy still arrives. */
static void test_last_words(void **state)
{
    (void)state;
    struct connection c;
    struct listener *l = open_listener(&c);
    struct dialer *d = dial(&c, "listening");
    send_text(d, "hello");
    expect_at_listener(l, "listening", "hello");
    for (int i = 0; i < 100; i++)
        assert_true(listener_send(l, "listening", "goodbye"));
    listener_destroy(&l);
    for (int i = 0; i < 100; i++)
        expect_at_dialer(d, "goodbye");
    wait_for_line(d, LINE_DOWN);
    dialer_destroy(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys_and_endpoint),       cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_messages_in_order),       cmocka_unit_test(test_who_is_connected),
        cmocka_unit_test(test_name_is_taken_over),      cmocka_unit_test(test_keys_of_another_run),
        cmocka_unit_test(test_another_servers_key),     cmocka_unit_test(test_no_security),
        cmocka_unit_test(test_garbage_on_the_port),     cmocka_unit_test(test_frames_and_names),
        cmocka_unit_test(test_largest_message),         cmocka_unit_test(test_waiting),
        cmocka_unit_test(test_threads_and_descriptors), cmocka_unit_test(test_last_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
