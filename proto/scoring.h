/* SPDX-License-Identifier: Apache-2.0 */
/* What `muster serve` and its scoring workers (`muster-worker score`) say to each other, over a stream socket between two
 * processes of one machine: frames of a header of four words and its payload, in the machine's own byte order. The worker speaks
 * first, a READY for each of its models in order, or FAILED; then each ROWS is answered by LOGITS or FAILED, in order. The worker ends when the stream does. */
#pragma once

#include "common/base/buffer.h"
#include "common/base/error.h"

#include <stdint.h>

enum scoring_kind {
    SCORING_READY,  /* count: labels; payload: what computes, as text */
    SCORING_ROWS,   /* count: rows; payload: number of the model (u32), length and first of each row (u32), then all ids (i32) */
    SCORING_LOGITS, /* count: rows; payload: f32 (rows, labels) */
    SCORING_FAILED, /* count: error_kind; payload: the message */
    SCORING_KINDS
};

#define SCORING_MOST (256u << 20) /* bytes of a payload */

/* A row of model input; borrowed. */
struct scoring_row {
    const int32_t *ids; /* with special tokens */
    uint32_t length;
    uint32_t first; /* tokens of type 0 */
};

struct scoring_frame {
    enum scoring_kind kind;
    uint32_t count;
    char *payload; /* owned; NUL behind it */
    size_t size;
};

/* Both block. ERROR_FAILED: the other side is gone, or `payload` is above SCORING_MOST. */
int scoring_send(int socket, enum scoring_kind kind, uint32_t count, const void *payload, size_t size, struct error *e);
/* 1; 0: the stream has ended between two frames; -1. */
int scoring_receive(struct scoring_frame *ret, int socket, struct error *e);
void scoring_frame_free(struct scoring_frame *f);

void scoring_rows_encode(struct buffer *to /* appended */, uint32_t model, const struct scoring_row *rows, uint32_t count);
/* *ret (count) points into the frame; caller frees it. ERROR_FAILED: the payload is not what its count says. */
int scoring_rows_decode(struct scoring_row **ret, uint32_t *model, const struct scoring_frame *f, struct error *e);
