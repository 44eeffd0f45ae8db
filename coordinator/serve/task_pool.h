/* SPDX-License-Identifier: Apache-2.0 */
/* Threads for what would hold up a thread that reads and writes for many clients: each task runs once, in the order of their
 * coming, those that end a request before those that begin one. */
#pragma once

struct task_pool;

enum task_order { TASK_ENDS, TASK_BEGINS, TASK_ORDERS };

/* Fill the first part; it is the pool's until `run` is called, which may free it. */
struct task {
    void (*run)(void *context);
    void *context;
    struct task *following;
};

void task_pool_create(struct task_pool **ret, int threads); /* signals are blocked in them */
/* Runs what it has and what that adds; no other thread may add. */
void task_pool_destroy(struct task_pool **p);
void task_pool_add(struct task_pool *p, struct task *t, enum task_order order); /* never blocks; from any thread */
unsigned task_pool_waiting(struct task_pool *p, enum task_order order);         /* added, and not at work yet */
