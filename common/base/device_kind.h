/* SPDX-License-Identifier: Apache-2.0 */
/* Compute devices: the one list of them. worker/device/device.h has what each does. */
#pragma once

enum device_kind {
    DEVICE_AUTO, /* a GPU where one is to be had, else the CPU */
    DEVICE_CPU,
    DEVICE_CUDA,
    DEVICE_CPU_REFERENCE, /* plain C, one thread: defines what is right */
    DEVICE_GUARDED,       /* cpu, with memory that only operations may touch: finds missing host_begin/host_end */
    DEVICE_FAKE,          /* simulated losses, to test a sweep in seconds */
    DEVICES
};

extern const char *const device_names[DEVICES + 1]; /* by kind, NULL at the end */

int device_kind_find(const char *name); /* its enum device_kind; -1: unknown */
