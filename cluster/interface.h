/* SPDX-License-Identifier: Apache-2.0 */
/* The address that the coordinator listens at. */
#pragma once

#include "common/base/error.h"

#include <stddef.h>

#define INTERFACE_ADDRESS 64 /* with NUL: an address of IPv4 or IPv6 */

/* wanted (cluster.interface): the name of a network interface ("eth0"), an address of this host, or a network ("10.0.0.0/8"): the
 * first address of ours in it. ERROR_USAGE with what there is instead. NULL: the address by which `peer` (a host name, NULL:
 * none) is reached, otherwise the one of the default route, the first that is not the loopback, or 127.0.0.1. */
int interface_address(char ret[INTERFACE_ADDRESS], const char *wanted, const char *peer, struct error *e);

/* Does `wanted` mean something on other hosts too: a name or a network, no single address? */
bool interface_is_portable(const char *wanted);

/* Is `name` this machine: its host name, or one that stands for an address of it? */
bool interface_is_local(const char *name);
