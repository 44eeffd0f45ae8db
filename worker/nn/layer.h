/* SPDX-License-Identifier: Apache-2.0 */
/* The parts that the network is assembled of, for model.c alone: where each finds its parameters, what it keeps for its
 * backward, and its two directions. act, T, B, C, H, F, L as in device.h; N vectors (all tokens, or first tokens of rows). */
#pragma once

#include "worker/device/flops.h"
#include "worker/nn/model.h"

/* Places in the arenas, in elements; PARAMETER_ABSENT: the family has none. */
struct adapter {
    size_t a, b;         /* (r,K), (O,r) */
    uint32_t site;       /* of its dropout */
    bool adds_a, adds_b; /* it has had a gradient before, from other rows of the map or other vectors: this one is added */
};

struct linear {
    size_t weight, bias;
    struct adapter adapters[3]; /* of equal slices of its outputs; a PARAMETER_ABSENT: none */
    size_t slices;              /* 0: no adapters at all */
    bool of_distances;          /* its vectors are not tokens, but embeddings of distances */
};

struct norm {
    size_t gamma, beta;
};

/* Scratch of adapters; DEVICE_NOTHING where there are none. x and dx act (T,max(C,F)), t act (T,widest output), u and du act
 * (T,r), gradient f32 (r,C), bias f32 (3C). T: at least the number of distances. */
struct lora_scratch {
    device_memory x, u, t, du, dx, gradient, bias;
};

/* Embeddings of distances, S of them (zeros: the family has none). */
struct distances {
    size_t word;
    struct norm norm;
    size_t S, reach;
    device_memory numbers, rows, places; /* i32 (S): 0..; i32 (S): number of the batch's first row; i32 (2 reach - 1) */
};

struct distances_saved {
    device_memory y, sum, statistics; /* act (S,C), act (S,C), f32 (S,2): the table, with its norm */
    device_memory x;                  /* act (S,C): y with dropout, of the layer at hand */
    device_memory dy, dx;             /* act (S,C): of y from all layers, from one */
    device_memory d_projected, dw;    /* act (S,2C), f32 (2C,C) and (2C): of the layer at hand */
    size_t first, used;               /* of the S, those that the batch's rows are long enough for */
};

/* What a forward or backward works on. */
struct pass {
    struct device *d;
    const struct parameters *p;
    const struct model_config *c;
    const struct packed *b;
    struct model_dropout dropout;
    bool training; /* save what backward needs */
    device_memory gradient;
    struct lora_scratch lora;
    const struct distances *distances; /* NULL: none */
    struct distances_saved of_distances;
    const struct model_watcher *watcher; /* of the backward under way, or NULL */
};

struct vectors {
    size_t N;
    device_memory rows, positions;
};

static inline struct vectors all_tokens(const struct pass *s)
{
    return (struct vectors){s->b->T, s->b->rows, s->b->positions};
}

static inline struct vectors first_tokens(const struct pass *s)
{
    return (struct vectors){s->b->B, s->b->row_of, s->b->zeros};
}

/* Those that the batch's rows are long enough for. */
static inline struct vectors used_distances(const struct pass *s)
{
    size_t at = s->of_distances.first * sizeof(int32_t);
    return (struct vectors){s->of_distances.used, device_at(s->distances->rows, at), device_at(s->distances->numbers, at)};
}

/* Attention's products, where the device cannot count them: its offsets are not on the host. `each`: operations a pair of tokens
 * and channel. window: NULL, all tokens of a row see all. */
static inline void pass_count(const struct pass *s, const struct attention_window *window, double each)
{
    if (s->d->run->kind != DEVICE_CUDA)
        return;
    for (size_t b = 0; b < s->b->B; b++)
        s->d->flops += each * pairs_seen(window, s->b->starts[b + 1] - s->b->starts[b]) * (double)s->c->width;
}

/* First tokens alone are queries. */
static inline void pass_count_first(const struct pass *s, double each)
{
    if (s->d->run->kind == DEVICE_CUDA)
        s->d->flops += each * (double)s->b->T * (double)s->c->width;
}

static inline double products_of(const struct relative_bias *b)
{
    return 1 + (b->keys.address ? 1 : 0) + (b->queries.address ? 1 : 0);
}

static inline struct dropout pass_dropout(const struct pass *s, float probability, uint32_t site, struct vectors of)
{
    return (struct dropout){s->dropout.on ? probability : 0, s->dropout.seed, s->dropout.epoch, site, of.rows, of.positions};
}

static inline device_memory pass_value(const struct pass *s, size_t place)
{
    return place == PARAMETER_ABSENT ? DEVICE_NOTHING : parameters_value_at(s->p, place);
}

static inline device_memory pass_gradient(const struct pass *s, size_t place)
{
    size_t at = parameters_gradient_place(s->p, place);
    return at == PARAMETER_ABSENT ? DEVICE_NOTHING : device_at(s->gradient, at * sizeof(float));
}

static inline device_memory pass_weight(const struct pass *s, size_t place) /* act */
{
    return parameters_shadow_at(s->p, place);
}

/* Of a map whose outputs are q, k, v (C each), and which has an adapter for each or one for all: its queries alone, and its keys
 * and values, whose backward comes behind that of the queries. */
struct linear linear_queries(const struct linear *qkv);
struct linear linear_keys_values(const struct pass *s, const struct linear *qkv);

void adapted_forward(const struct pass *s, device_memory y, device_memory pre, device_memory x, struct linear w,
                     enum activation activation, size_t N, size_t K, size_t O);
/* Whether biases of only some slices may be trained. */
bool adapted_biases_apart(const struct pass *s, const struct linear *w);
/* Their gradients, from that of all (O) in the scratch. */
void adapted_biases_backward(const struct pass *s, const struct linear *w, size_t O);
/* Of the adapters alone; dx += unless it is DEVICE_NOTHING. */
void adapted_backward(const struct pass *s, device_memory dx, device_memory dy, device_memory x, struct linear w, size_t N,
                      size_t K, size_t O);

/* y (N,O) = activation(pre), pre = x (N,K) w^T + bias. */
static inline void pass_linear(const struct pass *s, device_memory y, device_memory pre, device_memory x, struct linear w,
                               enum activation activation, size_t N, size_t K, size_t O)
{
    if (w.slices)
        adapted_forward(s, y, pre, x, w, activation, N, K, O);
    else
        s->d->run->linear_forward(s->d, y, pre, x, pass_weight(s, w.weight), pass_value(s, w.bias), activation, N, K, O);
}

static inline void pass_linear_backward(const struct pass *s, device_memory dx, device_memory dy, device_memory x,
                                        struct linear w, bool add_dx, size_t N, size_t K, size_t O)
{
    bool apart = adapted_biases_apart(s, &w);
    s->d->run->linear_backward(s->d, dx, pass_gradient(s, w.weight), apart ? s->lora.bias : pass_gradient(s, w.bias), dy, x,
                               pass_weight(s, w.weight), add_dx, N, K, O);
    if (apart)
        adapted_biases_backward(s, &w, O);
    if (w.slices)
        adapted_backward(s, dx, dy, x, w, N, K, O);
    if (s->watcher)
        s->watcher->between(s->watcher->context);
}

/* Shared by all backwards, reused from layer to layer. */
struct scratch {
    device_memory wide;    /* act (T,max(F,3C)), with a gated activation (T,max(2F,3C)); also of the forward */
    device_memory inner;   /* act (T,max(F,C)) */
    device_memory dz;      /* act (T,max(C,E)) */
    device_memory d_first; /* act (B,C) */
};

struct embedding {
    size_t word, position, type;
    struct norm norm;
    struct linear projection; /* from E to C; absent where they are equal */
};

struct embedding_saved {
    device_memory y, sum; /* act (T,E) */
    device_memory statistics;
    device_memory projected; /* act (T,C): what the layers get; y itself without a projection */
};

void embedding_forward(const struct pass *s, const struct embedding *w, const struct embedding_saved *k);
void embedding_backward(const struct pass *s, const struct embedding *w, const struct embedding_saved *k, const struct scratch *t,
                        device_memory dy /* act (T,C), used as scratch */);

/* Once a forward, before the layers; once a backward, behind them, `start` before them. */
void distances_forward(const struct pass *s);
void distances_backward_start(const struct pass *s);
void distances_backward(const struct pass *s);

struct attention {
    struct linear qkv, output;
    struct linear distances; /* queries, then keys, of distances: those that are met; by tokens' maps, or by maps of their own */
    struct linear global; /* q, k, v of rows' first tokens where those see all, and are seen by all; absent: attention is full */
    struct norm norm;
    uint32_t layer;
    bool last; /* behind it, only first tokens go on */
};

struct attention_saved {
    device_memory qkv;                        /* act (T,3C); of the last layer k and v, act (T,2C), where they are made */
    device_memory mixed, log_sum;             /* act (N,C), f32 (H,N) */
    device_memory first_x, first_q;           /* act (B,C); of the last layer, or where first tokens are global */
    device_memory global_kv;                  /* act (T,2C); of other layers where global maps have adapters */
    device_memory first_mixed, first_log_sum; /* act (B,C), f32 (H,B); of other layers where first tokens are global */
    device_memory sum, statistics, y;         /* act (N,C), f32 (N,2), act (N,C) */
    device_memory distances;                  /* act (S,2C), or (S,C) where only keys or queries of distances are met */
};

/* The bias of a layer's scores from what distances_project made; gradients lie in the same way. */
struct relative_bias distances_of(const struct pass *s, device_memory projected);
/* Queries and keys of distances for one layer, into `to`: the bias of its scores. */
struct relative_bias distances_project(const struct pass *s, const struct attention *w, device_memory to);
/* From of_distances.d_projected; gradients of maps shared with tokens are added to. */
void distances_project_backward(const struct pass *s, const struct attention *w);

void attention_forward(const struct pass *s, const struct attention *w, const struct attention_saved *k,
                       device_memory x /* act (T,C) */);
/* dx may not be dy, except in layers other than the last, where it must be. DEVICE_NOTHING: not needed. */
void attention_backward(const struct pass *s, const struct attention *w, const struct attention_saved *k, const struct scratch *t,
                        device_memory dx /* act (T,C) = */, device_memory dy /* act (N,C), used as scratch */, device_memory x);

struct feed_forward {
    struct linear inner, output;
    struct norm norm;
    uint32_t layer;
};

struct feed_forward_saved {
    device_memory pre;                /* act (N,F); DEVICE_NOTHING in evaluation */
    device_memory sum, statistics, y; /* act (N,C), f32 (N,2), act (N,C) */
};

void feed_forward_forward(const struct pass *s, const struct feed_forward *w, const struct feed_forward_saved *k,
                          const struct scratch *t, device_memory x /* act (N,C) */, struct vectors of);
/* What its backward needs, from x and the kept sum: without the output map. */
void feed_forward_repeat(const struct pass *s, const struct feed_forward *w, const struct feed_forward_saved *k, device_memory x,
                         struct vectors of);
/* y, from the kept sum. */
void feed_forward_restore(const struct pass *s, const struct feed_forward *w, const struct feed_forward_saved *k,
                          struct vectors of);
void feed_forward_backward(const struct pass *s, const struct feed_forward *w, const struct feed_forward_saved *k,
                           const struct scratch *t, device_memory dy /* act (N,C): becomes dx */, device_memory x,
                           struct vectors of);

/* A layer with pre-norm (Xiong et al., 2020): the residual stream h goes through unnormalised, and attention and a gated
 * feed-forward add to it what they make of its norm. The attention's norm is none in layer 0, whose x is h. */
struct pre_norm_saved {
    device_memory h, statistics, x;          /* act (T,C), f32 (T,2), act (T,C): residual stream coming in, its norm */
    device_memory qkv, mixed, log_sum;       /* act (T,3C) or (T,2C), act (N,C), f32 (H,N): as attention_saved, rotated */
    device_memory first_h, first_x, first_q; /* act (B,C); of the last layer where only first tokens go on */
    device_memory sum, sum_statistics, y;    /* act (N,C), f32 (N,2), act (N,C): residual stream behind attention, its norm */
    device_memory pre;                       /* act (N,2F) */
};

/* Behind the last layer. */
struct final_saved {
    device_memory sum, statistics, y; /* act (N,C), f32 (N,2), act (N,C) */
    device_memory pooled;             /* act (B,C): y, where N is B */
};

/* h, z act (T,C): the residual stream and what is still to be added to it (DEVICE_NOTHING in layer 0); z is written: what this
 * layer adds. */
void pre_norm_forward(const struct pass *s, const struct attention *a, const struct feed_forward *f,
                      const struct pre_norm_saved *k, const struct scratch *t, device_memory h, device_memory z);
/* What its backward needs, from the kept k->h. z as above, used as scratch. */
void pre_norm_repeat(const struct pass *s, const struct attention *a, const struct feed_forward *f,
                     const struct pre_norm_saved *k, device_memory z);
/* Of the residual stream: dy act (N,C), used as scratch; dx act (T,C), which is dy except where only first tokens go on. */
void pre_norm_backward(const struct pass *s, const struct attention *a, const struct feed_forward *f,
                       const struct pre_norm_saved *k, const struct scratch *t, device_memory dx, device_memory dy);
void final_forward(const struct pass *s, const struct norm *w, const struct final_saved *k, device_memory h, device_memory z,
                   bool first_only);
/* dx act (N,C) = gradient of the residual stream; dy act (B,C): of pooled. They may not be the same where N is T. */
void final_backward(const struct pass *s, const struct norm *w, const struct final_saved *k, const struct scratch *t,
                    device_memory dx, device_memory dy, bool first_only);

struct head {
    struct linear linear, classifier;
    struct norm norm;
};

struct head_saved {
    device_memory steps[HEAD_STEPS]; /* act (B,C): behind each of the family's steps */
    device_memory pre;               /* act (B,C): before the activation; of tanh its output */
    device_memory logits, dlogits;   /* f32 (B,L) */
    device_memory loss;              /* f32 (B) */
    device_memory sum, statistics;   /* act (B,C), f32 (B,2): of a norm among the steps */
};

void head_forward(const struct pass *s, const struct head *w, const struct head_saved *k, device_memory x /* act (B,C) */);
void head_backward(const struct pass *s, const struct head *w, const struct head_saved *k, const struct scratch *t,
                   device_memory dx /* act (B,C) = */, device_memory x);
/* loss and dlogits from logits. */
void head_loss(const struct pass *s, const struct head_saved *k, device_memory weights, bool multi,
               const struct loss_shape *shape);
