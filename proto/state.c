/* SPDX-License-Identifier: Apache-2.0 */
/* The edges between states. */
#include "proto/state.h"

static const char *const group_names[] = {"starting", "idle", "busy", "stopped", "gone"};
static const unsigned group_edges[] = {
    [GROUP_STARTING] = 1u << GROUP_IDLE | 1u << GROUP_GONE,
    [GROUP_IDLE] = 1u << GROUP_BUSY | 1u << GROUP_STOPPED | 1u << GROUP_GONE,
    [GROUP_BUSY] = 1u << GROUP_IDLE | 1u << GROUP_STOPPED | 1u << GROUP_GONE,
    [GROUP_STOPPED] = 1u << GROUP_GONE,
    [GROUP_GONE] = 0,
};

static const char *const lease_names[] = {"queued", "given", "done", "failed"};
static const unsigned lease_edges[] = {
    [LEASE_QUEUED] = 1u << LEASE_GIVEN,
    [LEASE_GIVEN] = 1u << LEASE_QUEUED | 1u << LEASE_DONE | 1u << LEASE_FAILED,
    [LEASE_DONE] = 0,
    [LEASE_FAILED] = 0,
};

const struct state_machine group_states = {"group", group_names, group_edges};
const struct state_machine lease_states = {"lease", lease_names, lease_edges};

bool state_may(const struct state_machine *m, int state, int next)
{
    return m->edges[state] >> next & 1;
}

int state_move(const struct state_machine *m, int *state, int next, struct error *e)
{
    if (!state_may(m, *state, next))
        return error_set(e, ERROR_FAILED, "a %s cannot go from %s to %s", m->what, m->names[*state], m->names[next]);
    *state = next;
    return 0;
}
