/* SPDX-License-Identifier: Apache-2.0 */
/* A batch as the network sees it: rows back to back, all arrays in device memory. Built by train/batch. */
#pragma once

#include "worker/device/device.h"

struct packed {
    size_t T, B;             /* tokens, rows */
    size_t U;                /* distinct words of the STEP (all ranks, all micro-batches); 0 for evaluation */
    size_t padding;          /* 1 + the slot of the configuration's padding token; 0: the step has none */
    device_memory ids;       /* i32 (T) */
    device_memory positions; /* i32 (T): 0.. in its row */
    device_memory places;    /* i32 (T): row of the table of positions */
    device_memory types;     /* i32 (T) */
    device_memory rows;      /* i32 (T): row number in the data set */
    device_memory slots;     /* i32 (T): place of the word among the step's U; not looked at in evaluation */
    device_memory offsets;   /* i32 (B+1) */
    const int32_t *starts;   /* the same, in the host's memory; borrowed, until the next batch */
    device_memory row_of;    /* i32 (B): row number in the data set */
    device_memory zeros;     /* i32 (B): positions for dropout of pooled vectors */
    device_memory classes;   /* i32 (B): single label */
    device_memory targets;   /* f32 (B,L): multi-label */
};

/* Writes `places` of one row. */
void packed_places(int32_t *to, const int32_t *ids, uint32_t length, const struct model_config *c);
