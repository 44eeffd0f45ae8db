/* SPDX-License-Identifier: Apache-2.0 */
/* A stream of work beside that of a cuda device, on the same GPU: for the communicator, whose sums run on it while the device
 * goes on. Calls return at once and come from the thread that made the device. In a build without CUDA there is none of it.
 *
 * ERROR_FAILED where CUDA has failed, in its words. */
#pragma once

#include "worker/device/device.h"

#include <stdbool.h>

struct gpu_stream;

int gpu_stream_create(struct gpu_stream **ret, size_t scratch /* floats */, struct error *e); /* on the GPU of this thread */
void gpu_stream_destroy(struct gpu_stream **s);  /* waits for the work; the device may be gone */
void *gpu_stream_handle(struct gpu_stream *s);   /* cudaStream_t; borrowed */
float *gpu_stream_scratch(struct gpu_stream *s); /* device memory, for the work of this stream; borrowed */
int gpu_stream_follow(struct gpu_stream *s, struct device *d, struct error *e); /* s goes on behind what d was asked so far */
int gpu_stream_lead(struct gpu_stream *s, struct device *d, struct error *e);   /* d goes on behind what s was asked so far */

/* Where the device itself waits for what it was asked, as an upload does for room, it calls `look`. 1: s holds it up, which has a
 * deadline of its own, and that of the device begins again; 0: it does not; -1: it has failed and let go, which becomes the
 * device's failure. context lives as long as the device. */
void gpu_stream_watch(struct device *d, int (*look)(void *context, struct error *e), void *context);

/* Marks are counted from 1. A full ring of them has to wait for the oldest to pass. */
bool gpu_stream_full(const struct gpu_stream *s);
int gpu_stream_mark(struct gpu_stream *s, struct error *e);
int gpu_stream_passed(uint64_t *ret /* marks */, struct gpu_stream *s, struct error *e); /* never waits */

/* own f32 (count) = what n ranks have, added in the order of communicator.h: own is that of `rank`; of another rank r it is at
 * parts + r * stride, which is written to. */
int gpu_stream_add(struct gpu_stream *s, float *own, float *parts, size_t stride, int rank, int n, size_t count, struct error *e);

/* What the GPU of this thread is called: its kind. */
int gpu_stream_name(char name[256], struct error *e);
