/* Owns where the worker groups of a dispatch live, and where it listens for them. */
#include "coordinator/dispatch/dispatch_state.h"

#include "common/base/clock.h"
#include "common/base/log.h"

#include <stdio.h>
#include <stdlib.h>

#define STRANDED_WITHIN 600.0 /* seconds that a run waits for hosts to come back when no group can live */

static int check_counts(const struct dispatch_options *o, struct error *e)
{
    if (o->groups < 1 || o->ranks_per_group < 1)
        return error_set(e, ERROR_USAGE, "cluster: at least one group of one rank is needed, %d of %d asked for", o->groups,
                         o->ranks_per_group);
    if (!(o->heartbeat_timeout >= 0.1))
        return error_set(e, ERROR_USAGE, "cluster.heartbeat_timeout: at least 0.1 seconds needed, %g found",
                         o->heartbeat_timeout);
    return 0;
}

/* NULL where the launcher knows of none. */
static int list_hosts(struct hosts **ret, const struct launcher *l, const struct dispatch_options *o, struct error *e)
{
    *ret = NULL;
    if (o->hostfile && !l->seated)
        return error_set(e, ERROR_USAGE, "cluster.hostfile: the launcher \"%s\" has no use for it; set cluster.launcher=mpirun",
                         l->name);
    if (!l->far || (!o->hostfile && !l->seated && !getenv("SLURM_JOB_NODELIST")))
        return 0;
    if (hosts_create(ret, o->hostfile, o->worker, e))
        return -1;
    return l->seated ? hosts_check(*ret, o->groups, o->ranks_per_group, e) : 0;
}

static int find_address(char ret[INTERFACE_ADDRESS], const struct launcher *l, const struct hosts *hosts,
                        const struct dispatch_options *o, struct error *e)
{
    const char *peer = hosts ? hosts_remote(hosts) : NULL;
    bool far = o->ranks_on_host || (l->far && (!hosts || peer));
    snprintf(ret, INTERFACE_ADDRESS, "127.0.0.1");
    return o->interface || far ? interface_address(ret, o->interface, peer, e) : 0;
}

int dispatch_find_hosts(struct hosts **hosts, char address[INTERFACE_ADDRESS], const struct dispatch_options *o, struct error *e)
{
    const struct launcher *l = launcher_find(o->launcher, e);
    *hosts = NULL;
    if (!l || check_counts(o, e) || (l->check && l->check(o->groups, o->ranks_per_group, e)) || list_hosts(hosts, l, o, e) ||
        find_address(address, l, *hosts, o, e)) {
        hosts_destroy(hosts);
        return -1;
    }
    if (!l->seated)
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
    int ranks = hosts ? hosts_most(hosts) : o->ranks_on_host ? o->ranks_on_host : o->groups * o->ranks_per_group;
    return o->threads > 0 ? o->threads : launcher_threads(ranks);
}

static int strand(struct dispatch *d, struct error *e)
{
    const char *trouble = hosts_trouble(d->hosts);
    if (roster_in(&d->roster, ROSTER_LIVE)) {
        d->stranded = 0;
        return 0;
    }
    if (!d->stranded) {
        d->stranded = clock_seconds();
        log_info("no host has room for a worker group now; waiting for one to come back");
    }
    if (clock_seconds() - d->stranded <= STRANDED_WITHIN)
        return 0;
    return error_set(e, ERROR_FAILED, "no host for a worker group in %.0f s: %.700s; run again later: it resumes",
                     STRANDED_WITHIN, trouble ? trouble : "their slots are taken");
}

int dispatch_seat(struct dispatch *d, bool *found, struct seats *ret, struct error *e)
{
    int wanted = d->options.groups * d->options.ranks_per_group;
    *ret = (struct seats){0};
    *found = true;
    if (!d->hosts)
        return 0;
    *found = false;
    hosts_poll(d->hosts);
    if (!d->started && !hosts_settled(d->hosts))
        return 0;
    if (!d->started && hosts_open(d->hosts) < wanted)
        return error_set(e, ERROR_FAILED, "%.900s", hosts_trouble(d->hosts));
    *found = hosts_take(d->hosts, d->options.ranks_per_group, ret);
    if (*found)
        d->stranded = 0;
    return *found ? 0 : strand(d, e);
}
