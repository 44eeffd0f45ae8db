/* SPDX-License-Identifier: Apache-2.0 */
/* What a compute device is on this machine: the worker is asked, as only it knows its build. */
#pragma once

#include "common/base/error.h"

#include <stddef.h>

struct local_device {
    char text[256];      /* "cuda (NVIDIA H200, 141 GiB, GPU-...)": one line */
    size_t memory, left; /* bytes of the GPU: all, and free now; 0: its memory is the host's */
    size_t weights /* with moments and gradients */,
        activations; /* what the trial takes of a rank's memory, bytes; 0: not known */
};

/* device: a name of device_names. processes: how many will run here at the same time. trial: what is to be trained on it, by that
 * many ranks a group, as proto/trial.h writes it; NULL: nothing is. Runs the worker next to this program, for some tenths of a
 * second. Its own error where the device is not to be had, or a GPU that cannot take the trial. */
int local_device_ask(struct local_device *ret, const char *device, int processes, const char *trial, int ranks, struct error *e);

/* Of an option --device, before any work: a device's name, and where that is cuda, a GPU to be had. expected: the names, for the
 * message. ERROR_USAGE: another name; local_device_ask's errors. */
int local_device_check(const char *name, const char *expected, struct error *e);
