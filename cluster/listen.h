/* SPDX-License-Identifier: Apache-2.0 */
/* Where the sockets of Open MPI listen. It binds them to every address of the host, also with oob_tcp_if_include and
 * btl_tcp_if_include, and authenticates nobody. So bind(2) is wrapped, in mpirun and its daemons by LISTEN_LIBRARY (LD_PRELOAD),
 * in muster-worker by the program itself: a TCP socket that is bound to every address is bound to the first address of
 * LISTEN_VARIABLE's interface or network instead, or to the loopback address where this host has none of its family. */
#pragma once

#define LISTEN_VARIABLE "MUSTER_LISTEN" /* "lo", "eth0", "10.0.0.0/8"; unset or empty: bind(2) is as it is */
#define LISTEN_LIBRARY "libmuster-listen.so"
