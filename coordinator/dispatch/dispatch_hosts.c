/* SPDX-License-Identifier: Apache-2.0 */
/* On which hosts the worker groups of a dispatch run, and at which address it listens for them. */
#include "coordinator/dispatch/dispatch_state.h"

#include "common/base/clock.h"
#include "common/base/log.h"

#include <stdio.h>
#include <stdlib.h>

#define HOSTS_TIMEOUT 600.0 /* seconds that a run waits for hosts to come back when no group can live */

static int check_counts(const struct dispatch_options *o, struct error *e)
{
    if (o->groups < 1 || o->ranks_per_group < 1)
        return error_set(e, ERROR_USAGE, "cluster: at least one group of one rank is needed, found groups=%d, ranks_per_group=%d",
                         o->groups, o->ranks_per_group);
    if (!(o->heartbeat_timeout >= 0.1))
        return error_set(e, ERROR_USAGE, "cluster.heartbeat_timeout: at least 0.1 seconds needed, %g found",
                         o->heartbeat_timeout);
    return 0;
}

/* Which slots of a host a group has is mpirun's affair: two groups there would take the same GPUs. */
static int check_gpus(const struct dispatch_options *o, const struct launcher *l, struct error *e)
{
    if (o->device != DEVICE_CUDA || !l->uses_slots || o->groups == 1)
        return 0;
    return error_set(
        e, ERROR_USAGE,
        "cluster.groups: %d groups of GPUs cannot be started by \"%s\"; set cluster.launcher to \"srun\" or \"local\", "
        "or cluster.groups to 1",
        o->groups, l->name);
}

/* NULL where the launcher knows of none. */
static int list_hosts(struct hosts **ret, const struct launcher *l, const struct dispatch_options *o, struct error *e)
{
    *ret = NULL;
    if (o->hostfile && !l->uses_slots)
        return error_set(e, ERROR_USAGE, "cluster.hostfile: the launcher \"%s\" does not use it; set cluster.launcher=mpirun",
                         l->name);
    if (!l->remote || (!o->hostfile && !l->uses_slots && !getenv("SLURM_JOB_NODELIST")))
        return 0;
    if (hosts_create(ret, o->hostfile, o->worker, e))
        return -1;
    return l->uses_slots ? hosts_check(*ret, o->groups, o->ranks_per_group, e) : 0;
}

static int find_address(char ret[INTERFACE_ADDRESS], const struct launcher *l, const struct hosts *hosts,
                        const struct dispatch_options *o, struct error *e)
{
    const char *peer = hosts ? hosts_first_remote(hosts) : NULL;
    bool remote = o->ranks_on_host || (l->remote && (!hosts || peer));
    snprintf(ret, INTERFACE_ADDRESS, "127.0.0.1");
    return o->interface || remote ? interface_address(ret, o->interface, peer, e) : 0;
}

int dispatch_find_hosts(struct hosts **hosts, char address[INTERFACE_ADDRESS], const struct dispatch_options *o, struct error *e)
{
    const struct launcher *l = launcher_get(o->launcher);
    *hosts = NULL;
    if (check_counts(o, e) || check_gpus(o, l, e) || (l->check && l->check(o->groups, o->ranks_per_group, e)) ||
        list_hosts(hosts, l, o, e) || find_address(address, l, *hosts, o, e)) {
        hosts_destroy(hosts);
        return -1;
    }
    if (!l->uses_slots)
        hosts_destroy(hosts);
    return 0;
}

int dispatch_check(const struct dispatch_options *o, struct error *e)
{
    char address[INTERFACE_ADDRESS];
    struct hosts *hosts;
    int status = dispatch_find_hosts(&hosts, address, o, e);
    hosts_destroy(&hosts);
    return status;
}

int dispatch_threads(const struct dispatch_options *o, const struct hosts *hosts)
{
    int ranks = hosts ? hosts_max_slots(hosts) : o->ranks_on_host ? o->ranks_on_host : o->groups * o->ranks_per_group;
    return o->threads > 0 ? o->threads : launcher_threads(ranks);
}

static int wait_for_hosts(struct dispatch *d, struct error *e)
{
    const char *problem = hosts_problem(d->hosts);
    if (roster_in(&d->roster, ROSTER_LIVE)) {
        d->no_hosts_since = 0;
        return 0;
    }
    if (!d->no_hosts_since) {
        d->no_hosts_since = clock_seconds();
        log_info("no host has free slots for a worker group; waiting for one to become reachable");
    }
    if (clock_seconds() - d->no_hosts_since <= HOSTS_TIMEOUT)
        return 0;
    return error_set(e, ERROR_FAILED,
                     "no host for a worker group within %.0f s: %.700s; run the same command again later to resume",
                     HOSTS_TIMEOUT, problem ? problem : "all slots are taken");
}

int dispatch_take_slots(struct dispatch *d, bool *found, struct slots *ret, struct error *e)
{
    int wanted = d->options.groups * d->options.ranks_per_group;
    *ret = (struct slots){0};
    *found = true;
    if (!d->hosts)
        return 0;
    *found = false;
    hosts_poll(d->hosts);
    if (!d->started && !hosts_probed(d->hosts))
        return 0;
    if (!d->started && hosts_available(d->hosts) < wanted)
        return error_set(e, ERROR_FAILED, "%.900s", hosts_problem(d->hosts));
    *found = hosts_take(d->hosts, d->options.ranks_per_group, ret);
    if (*found)
        d->no_hosts_since = 0;
    return *found ? 0 : wait_for_hosts(d, e);
}
