/* SPDX-License-Identifier: Apache-2.0 */
/* The kinds of communicator: for communicator.c, which chooses one by name. */
#pragma once

#include "worker/comm/communicator.h"

int self_create(struct communicator **ret, int size, double timeout, struct error *e);
int mpi_create(struct communicator **ret, int size, double timeout, struct error *e);
