/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: what is taken, what is refused and in which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/options.h"

#include <string.h>

static const struct option options[] = {
    {"output", 'o', "FILE", NULL, "where to"},
    {"threads", 0, "N", "0", "how many"},
    {"json", 0, NULL, NULL, "machine-readable"},
    {NULL},
};

static const struct verb verbs[] = {
    {"predict", "BUNDLE IN.jsonl", "labels", 2, 2, options, .run = NULL},
    {"run", "JOB [key=value ...]", "all", 1, 100, NULL, .takes_job = true},
    {"work", "", "works", 0, 0, options, .program = "muster-worker"},
    {NULL},
};

static void refused(const struct verb *v, int argc, char **argv, const char *text)
{
    struct arguments a;
    struct error e = {0};
    assert_int_equal(arguments_read(&a, v, argc, argv, &e), -1);
    assert_int_equal(e.kind, ERROR_USAGE);
    assert_string_equal(e.message, text);
}

static void taken_in_any_order(void **state)
{
    (void)state;
    char *argv[] = {"-o", "x", "bundle", "--json", "--threads=3", "in.jsonl", "-v"};
    struct arguments a;
    struct error e = {0};
    int threads = -1;
    assert_int_equal(arguments_read(&a, &verbs[0], 7, argv, &e), 0);
    assert_int_equal(a.count, 2);
    assert_string_equal(a.positional[1], "in.jsonl");
    assert_string_equal(argument(&a, "output"), "x");
    assert_true(argument_given(&a, "json"));
    assert_true(a.verbose);
    assert_int_equal(argument_whole(&threads, &a, "threads", 0, 64, &e), 0);
    assert_int_equal(threads, 3);
    arguments_free(&a);
}

static void defaults_and_dashes(void **state)
{
    (void)state;
    char *argv[] = {"-", "--", "--json"};
    struct arguments a;
    struct error e = {0};
    assert_int_equal(arguments_read(&a, &verbs[0], 3, argv, &e), 0);
    assert_string_equal(a.positional[0], "-");
    assert_string_equal(a.positional[1], "--json");
    assert_false(argument_given(&a, "json"));
    assert_string_equal(argument(&a, "threads"), "0");
    assert_null(argument(&a, "output"));
    arguments_free(&a);
}

static void refusals(void **state)
{
    (void)state;
    refused(&verbs[0], 3, (char *[]){"a", "b", "--ouput=x"}, "predict: unknown option --ouput=x; did you mean --output?");
    refused(&verbs[0], 3, (char *[]){"a", "b", "--frobnicate"},
            "predict: unknown option --frobnicate; `muster predict --help` lists the options");
    refused(&verbs[0], 3, (char *[]){"a", "b", "-x"}, "predict: unknown option -x; `muster predict --help` lists the options");
    refused(&verbs[0], 3, (char *[]){"a", "b", "-o"}, "predict: --output needs a value: FILE");
    refused(&verbs[0], 3, (char *[]){"a", "b", "--json=1"}, "predict: --json takes no value");
    refused(&verbs[0], 1, (char *[]){"a"}, "predict: IN.jsonl is missing; usage: muster predict BUNDLE IN.jsonl");
    refused(&verbs[0], 3, (char *[]){"a", "b", "c"},
            "predict: \"c\" is one argument too many; usage: muster predict BUNDLE IN.jsonl");
    refused(&verbs[1], 0, (char *[]){NULL}, "run: JOB is missing; usage: muster run JOB [key=value ...]");
    refused(&verbs[1], 3, (char *[]){"job.json", "--lr", "1e-5"},
            "run: unknown option --lr; keys of the job are given as key=value, such as train.lr=1e-5");
}

static void another_program(void **state)
{
    (void)state;
    refused(&verbs[2], 1, (char *[]){"--frobnicate"},
            "work: unknown option --frobnicate; `muster-worker work --help` lists the options");
    refused(&verbs[2], 1, (char *[]){"x"}, "work: \"x\" is one argument too many; usage: muster-worker work");
}

static void choices(void **state)
{
    (void)state;
    static const char *const colours[] = {"red", "green", "blue", NULL};
    struct error e = {0};
    struct arguments a = {.verb = &verbs[0], .values = {"green"}};
    int i = -1;
    assert_int_equal(argument_choice(&i, &a, "output", colours, &e), 0);
    assert_int_equal(i, 1);
    a.values[0] = "bleu";
    assert_int_equal(argument_choice(&i, &a, "output", colours, &e), -1);
    assert_int_equal(e.kind, ERROR_USAGE);
    assert_string_equal(e.message, "predict: --output: expected red, green or blue, found \"bleu\"; did you mean 'blue'?");
    a.values[0] = "gren";
    assert_int_equal(argument_choice(&i, &a, "output", colours, &e), -1);
    assert_string_equal(e.message, "predict: --output: expected red, green or blue, found \"gren\"; did you mean 'green'?");
    assert_int_equal(i, 1);
}

static void numbers(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "x", "1x", "-1", "65", "99999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct arguments a = {.verb = &verbs[0], .values = {[1] = bad[i]}};
        struct error e = {0};
        int n = 7;
        double x = 7;
        assert_int_equal(argument_whole(&n, &a, "threads", 0, 64, &e), -1);
        assert_non_null(strstr(e.message, "--threads: expected a whole number from 0 to 64, found"));
        assert_int_equal(argument_number(&x, &a, "threads", 0, 64, &e), -1);
        assert_int_equal(n, 7);
    }
    struct arguments a = {.verb = &verbs[0], .values = {[1] = "nan"}};
    struct error e = {0};
    double x;
    assert_int_equal(argument_number(&x, &a, "threads", 0, 1, &e), -1);
}

static void verbs_by_name(void **state)
{
    (void)state;
    struct error e = {0};
    assert_ptr_equal(verb_find(verbs, "run", &e), &verbs[1]);
    assert_null(verb_find(verbs, "perdict", &e));
    assert_string_equal(e.message, "unknown verb \"perdict\"; did you mean \"predict\"?");
    assert_null(verb_find(verbs, "dance", &e));
    assert_string_equal(e.message, "unknown verb \"dance\"; `muster --help` lists the verbs");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(taken_in_any_order),
        cmocka_unit_test(defaults_and_dashes),
        cmocka_unit_test(refusals),
        cmocka_unit_test(numbers),
        cmocka_unit_test(verbs_by_name),
        cmocka_unit_test(another_program),
        cmocka_unit_test(choices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
