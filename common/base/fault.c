/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/fault.h"

#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/near.h"
#include "common/base/operation.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum kind { KILL, STALL, STOP, DROP, DUPLICATE, ENOSPC_, READ_ONLY, FLIP, CUT, KINDS };
enum { MOST = 64, ANY = -1 };

static const char *const kind_names[KINDS] = {"kill", "stall", "stop", "drop", "duplicate", "enospc", "read_only", "flip", "cut"};

struct fault {
    enum kind kind;
    long long rank, step; /* ANY */
    uint32_t attempt;
    char operation[32], message[32], trial[256]; /* "": any */
    bool struck;
};

bool fault_planned;

static struct fault plan[MOST];
static size_t count;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* holds `struck` and the place: the thread of messages asks too */
static struct {
    int rank;
    uint32_t attempt;
    uint64_t step;
    char trial[256];
} place = {.rank = ANY, .attempt = 1};

/* ---- reading ---- */

static int refuse(const char *word, const char *expected, struct error *e)
{
    return error_set(e, ERROR_USAGE, "MUSTER_FAULT: %s expected, \"%.100s\" found", expected, word);
}

static int read_number(long long *ret, const char *text, const char *key, long long least, struct error *e)
{
    char *end, expected[64];
    errno = 0;
    long long value = strtoll(text, &end, 10);
    snprintf(expected, sizeof expected, "%s= and a number from %lld", key, least);
    if (!*text || *end || errno || value < least || value > INT32_MAX)
        return refuse(text, expected, e);
    *ret = value;
    return 0;
}

static int read_operation(struct fault *f, const char *value, struct error *e)
{
    bool known;
    const char *near = operation_near(value, &known);
    if (!known)
        return error_set(e, ERROR_USAGE, "MUSTER_FAULT: there is no operation \"%.100s\"%s%s", value,
                         near ? "; did you mean " : "", near ? near : "");
    snprintf(f->operation, sizeof f->operation, "%s", value);
    return 0;
}

static int read_word(struct fault *f, char *word, bool (*is_message)(const char *name), struct error *e)
{
    char *value = strchr(word, '=');
    long long number = 0;
    if (!value)
        return refuse(word, "key=value", e);
    *value++ = 0;
    if (!strcmp(word, "rank"))
        return read_number(&f->rank, value, word, 0, e);
    if (!strcmp(word, "step"))
        return read_number(&f->step, value, word, 0, e);
    if (!strcmp(word, "attempt")) {
        if (read_number(&number, value, word, 1, e))
            return -1;
        f->attempt = (uint32_t)number;
        return 0;
    }
    if (!strcmp(word, "op"))
        return read_operation(f, value, e);
    if (!strcmp(word, "trial"))
        return snprintf(f->trial, sizeof f->trial, "%s", value) > 0 ? 0 : refuse(value, "the key of a trial", e);
    if (strcmp(word, "message"))
        return refuse(word, "rank, step, op, message, trial or attempt", e);
    if (!is_message || !is_message(value))
        return refuse(value, "the name of a message, such as result,", e);
    snprintf(f->message, sizeof f->message, "%s", value);
    return 0;
}

static int read_kind(struct fault *f, const char *word, struct error *e)
{
    char hint[64];
    for (int i = 0; i < KINDS; i++)
        if (!strcmp(word, kind_names[i])) {
            f->kind = (enum kind)i;
            return 0;
        }
    return error_set(e, ERROR_USAGE, "MUSTER_FAULT: there is no fault \"%.100s\"%s", word,
                     near_hint(hint, sizeof hint, word, kind_names, KINDS));
}

static int read_fault(char *text, bool (*is_message)(const char *name), struct error *e)
{
    char *rest, *word = strtok_r(text, " \t\n", &rest);
    struct fault f = {.rank = ANY, .step = ANY, .attempt = 1};
    if (!word)
        return 0;
    if (read_kind(&f, word, e))
        return -1;
    while ((word = strtok_r(NULL, " \t\n", &rest)))
        if (read_word(&f, word, is_message, e))
            return -1;
    bool of_message = f.kind == DROP || f.kind == DUPLICATE;
    if (of_message != (f.message[0] != 0) || (of_message && f.operation[0]))
        return error_set(e, ERROR_USAGE, "MUSTER_FAULT: %s %s message=NAME%s", kind_names[f.kind],
                         of_message ? "needs" : "has no", of_message ? " and no op=" : "");
    if (count == MOST)
        return error_set(e, ERROR_USAGE, "MUSTER_FAULT: more than %d faults", MOST);
    plan[count++] = f;
    return 0;
}

/* ---- where we are ---- */

void fault_set_rank(int rank)
{
    if (!fault_planned)
        return;
    pthread_mutex_lock(&lock);
    place.rank = rank;
    pthread_mutex_unlock(&lock);
}

void fault_set_trial(const char *key, uint32_t attempt)
{
    if (!fault_planned)
        return;
    pthread_mutex_lock(&lock);
    snprintf(place.trial, sizeof place.trial, "%s", key);
    place.attempt = attempt;
    place.step = 0;
    pthread_mutex_unlock(&lock);
}

void fault_set_step(uint64_t step)
{
    if (!fault_planned)
        return;
    pthread_mutex_lock(&lock);
    place.step = step;
    pthread_mutex_unlock(&lock);
}

/* ---- striking ---- */

static bool names_us(const struct fault *f, const char *operation, const char *message)
{
    return (f->rank == ANY || f->rank == place.rank) && (f->step == ANY || (uint64_t)f->step == place.step) &&
           f->attempt == place.attempt && (!f->trial[0] || !strcmp(f->trial, place.trial)) &&
           (!f->operation[0] || !strcmp(f->operation, operation)) &&
           (!f->message[0] || (message && !strcmp(f->message, message)));
}

/* The first planned fault of one of these kinds (a set of bits) that is due here, which strikes now; KINDS: none. */
static enum kind due(unsigned kinds, const char *operation, const char *message)
{
    enum kind found = KINDS;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < count && found == KINDS; i++)
        if (kinds >> plan[i].kind & 1 && !plan[i].struck && names_us(&plan[i], operation, message)) {
            plan[i].struck = true;
            found = plan[i].kind;
        }
    uint64_t step = place.step;
    int rank = place.rank;
    pthread_mutex_unlock(&lock);
    if (found != KINDS)
        log_warn("planned fault: %s, rank %d, step %llu, %s", kind_names[found], rank, (unsigned long long)step,
                 message ? message : operation);
    return found;
}

static void strike(const char *operation)
{
    enum kind kind = due(1u << KILL | 1u << STALL | 1u << STOP, operation, NULL);
    if (kind != KINDS)
        raise(kind == KILL ? SIGKILL : kind == STALL ? SIGSTOP : SIGTERM);
}

int fault_plan(const char *text, bool (*is_message)(const char *name), struct error *e)
{
    char *copy = duplicate(text ? text : ""), *rest;
    int result = 0;
    count = 0;
    for (char *one = strtok_r(copy, ";", &rest); one && !result; one = strtok_r(NULL, ";", &rest))
        result = read_fault(one, is_message, e);
    free(copy);
    fault_planned = !result && count > 0;
    operation_set_hook(fault_planned ? strike : NULL);
    return result;
}

/* ---- asked by others ---- */

unsigned fault_copies_planned(const char *message)
{
    enum kind kind = due(1u << DROP | 1u << DUPLICATE, operation_now(), message);
    return kind == DROP ? 0 : kind == DUPLICATE ? 2 : 1;
}

int fault_write_planned(void)
{
    enum kind kind = due(1u << ENOSPC_ | 1u << READ_ONLY, operation_now(), NULL);
    return kind == ENOSPC_ ? ENOSPC : kind == READ_ONLY ? EROFS : 0;
}

static int damage(const char *path, enum kind kind)
{
    struct stat facts;
    char byte;
    int fd = open(path, O_RDWR | O_CLOEXEC), result = -1;
    if (fd >= 0 && !fstat(fd, &facts) && kind == CUT)
        result = ftruncate(fd, facts.st_size / 2);
    else if (fd >= 0 && pread(fd, &byte, 1, facts.st_size / 2) == 1) {
        byte ^= 1;
        result = pwrite(fd, &byte, 1, facts.st_size / 2) == 1 ? 0 : -1;
    }
    if (fd >= 0)
        close(fd);
    return result;
}

void fault_damage_planned(const char *path)
{
    enum kind kind = due(1u << FLIP | 1u << CUT, operation_now(), NULL);
    if (kind != KINDS && damage(path, kind))
        log_warn("%s: the planned damage could not be applied", path);
}
